package ldif

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"drover/internal/directory"
)

func write(t testing.TB, records []Record, trailing ...string) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, records, trailing...); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func values(s ...string) (out [][]byte) {
	for _, v := range s {
		out = append(out, []byte(v))
	}
	return out
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	awkward := values("", " ", " leading", "trailing ", ":colon", "<less", "a:b", "Größe", "line\nbreak", "\x00\xff\x80",
		strings.Repeat("long", 100), strings.Repeat("ü", 100), "-", "#", "plain", "a\r")
	records := []Record{
		{Comments: []string{"Drover", "", " indented", strings.Repeat("x", 200)}, DN: "CN=HV01,DC=lab", Change: Modify, Mods: []directory.Mod{
			{Op: directory.Replace, Attribute: "description", Values: awkward},
			{Op: directory.Delete, Attribute: "member"},
			{Op: directory.Add, Attribute: "member;range=0-1", Values: values("x")}}},
		{DN: "CN=Größe\\, klein,DC=lab", Change: Delete},
		{DN: " odd", Change: Add, Mods: []directory.Mod{
			{Op: directory.Add, Attribute: "objectClass", Values: values("top", "group")},
			{Op: directory.Add, Attribute: "cn", Values: awkward}}},
		{DN: "", Mods: []directory.Mod{{Op: directory.Add, Attribute: "cn", Values: values("root")}}},
	}
	text := write(t, records, "end", "of it")
	got, trailing, err := Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, records) || !reflect.DeepEqual(trailing, []string{"end", "of it"}) {
		t.Errorf("%q\n%q\n%q", got, records, trailing)
	}
	for l := range strings.Lines(text) {
		if len(l) > foldAt+1 && l[0] != '#' {
			t.Errorf("line of %d bytes: %q", len(l), l)
		}
	}
	windows, _, err := Read(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")))
	if err != nil || !reflect.DeepEqual(windows, records) {
		t.Errorf("with CRLF: %v %q", err, windows)
	}
}

func TestFilesOfOtherProgramsAreRead(t *testing.T) {
	text := "version: 1\n\n# one\n  still one\ndn:: Q049SFYwMQ==\n# between\nChangeType: MODIFY\nreplace: Description\ndescription:  two\n  words\n-\n\n\n" +
		"dn: CN=HV02\ncn:HV02\nobjectClass: top\nobjectclass: person\n"
	got, trailing, err := Read(strings.NewReader(text))
	want := []Record{
		{Comments: []string{"one still one", "between"}, DN: "CN=HV01", Change: Modify,
			Mods: []directory.Mod{{Op: directory.Replace, Attribute: "Description", Values: values("two words")}}},
		{DN: "CN=HV02", Mods: []directory.Mod{{Op: directory.Add, Attribute: "cn", Values: values("HV02")},
			{Op: directory.Add, Attribute: "objectClass", Values: values("top", "person")}}},
	}
	if err != nil || trailing != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %q\n%+v\n%+v", err, trailing, got, want)
	}
}

func TestMalformedFilesAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		" begins with a blank":           "line 1: it continues",
		"dn: x\n\n y":                    "line 3: it continues",
		"cn: x":                          `"dn" is expected`,
		"dn":                             `no ":"`,
		"dn:: *":                         "illegal base64",
		"dn:: /w==":                      "not UTF-8",
		"dn: x\ncn:< file:///etc/passwd": "values from URLs",
		"dn: x\nchangetype: modrdn\nnewrdn: cn=y":            `"modrdn" is not known`,
		"dn: x\nchangetype:":                                 "missing",
		"dn: x\ncontrol: 1.2.3\nchangetype: delete":          "controls",
		"dn: x\nchangetype: delete\ncn: y":                   "no attributes",
		"dn: x\nchangetype: modify\nadd: cn\ncn: y":          "does not end",
		"dn: x\nchangetype: modify\nadd: cn\nsn: y\n-":       `"cn" is expected`,
		"dn: x\nchangetype: modify\nincrement: cn\ncn: 1\n-": "not a change",
		"dn: x\nchangetype: modify\nadd: c n\n-":             "not the name",
		"dn: x\nc_n: y":                                      "not the name",
	} {
		_, _, err := Read(strings.NewReader(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, _, err := Read(bytes.NewReader(make([]byte, MaxSize+1))); err == nil || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("a file that is too large: %v", err)
	}
}

func TestWhatCannotBeWrittenIsRefused(t *testing.T) {
	for _, r := range []Record{
		{Comments: []string{"a\ndn: evil"}, DN: "x"},
		{DN: "x", Change: "modrdn"},
		{DN: "x", Change: Delete, Mods: []directory.Mod{{Op: directory.Add, Attribute: "cn"}}},
		{DN: "x", Change: Modify, Mods: []directory.Mod{{Op: "increment", Attribute: "cn"}}},
		{DN: "x", Change: Modify, Mods: []directory.Mod{{Op: directory.Add, Attribute: "cn\nsn"}}},
	} {
		if err := Write(&strings.Builder{}, []Record{r}); err == nil {
			t.Errorf("%+v was written", r)
		}
	}
	if err := Write(&strings.Builder{}, nil, "a\rb"); err == nil {
		t.Error("a comment with a line break was written")
	}
}

// Whatever is read is written so that it reads the same, and written again it is the
// same text.
func FuzzLDIF(f *testing.F) {
	f.Add("version: 1\ndn: CN=HV01\nchangetype: modify\nreplace: a\na:: AAE=\na: b\n c\n-\n\n# end: 1\n")
	f.Add("# Drover\ndn:\ncn: x\n\ndn: CN=y\nchangetype: delete\n")
	f.Add("dn: x\r\nchangetype: add\r\ncn:x\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		records, trailing, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		once := write(t, records, trailing...)
		again, below, err := Read(strings.NewReader(once))
		if err != nil {
			t.Fatalf("%v in %q", err, once)
		}
		if twice := write(t, again, below...); twice != once {
			t.Fatalf("%q\n%q", once, twice)
		}
		if !reflect.DeepEqual(again, records) || !reflect.DeepEqual(below, trailing) {
			t.Fatalf("%q\n%q", again, records)
		}
	})
}
