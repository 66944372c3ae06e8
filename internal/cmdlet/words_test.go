package cmdlet

import (
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                                     nil,
		" Get-VM  # all of them":               {"Get-VM"},
		"Get-VM 'a b' \"c\"\"d\" e`|f":         {"Get-VM", "a b", `c"d`, "e|f"},
		"Get-VM 'it''s'|fl":                    {"Get-VM", "it's", "|", "fl"},
		"Get-VM \u2018a b\u2019 \u201cc\u201d": {"Get-VM", "a b", "c"},
		"x @{a = 'b }'; c=\"d\"} y":            {"x", "@{a = 'b }'; c=\"d\"}", "y"},
		"x @(@{a=1}, @{b=2})|ft":               {"x", "@(@{a=1}, @{b=2})", "|", "ft"},
	} {
		got, err := Words(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{"Get-VM 'a", `Get-VM "a`, "x @{a", "x @{'a", "Get-VM; Get-VMHost"} {
		if got, err := Words(line); err == nil {
			t.Errorf("%q: %q", line, got)
		}
	}
}

func TestExpandTouchesOnlyWhatIsQuotedWhole(t *testing.T) {
	for in, want := range map[string]string{
		"Get-VMHost":                          "Get-VMHost",
		"Get-VMHost | fl *Migration*":         "Get-VMHost,|,fl,*Migration*",
		`PS C:\> Set-VMHost -Max 3`:           "Set-VMHost,-Max,3",
		`PS C:\> Enable-VMMigration`:          "Enable-VMMigration",
		`PS C:\Windows\system32> klist purge`: "klist,purge",
		"get-vm|ft":                           "get-vm,|,ft",
		"frob | fl":                           "frob | fl",
		"Get-VM/a b|c":                        "Get-VM,a b|c",
		"Get-VMHost/| fl a,b":                 "Get-VMHost,|,fl,a,b",
		"Get-VMHost/|/fl":                     "Get-VMHost,|,fl",
		"vm/show/|it's":                       "vm,show,|it's",
		"":                                    "",
	} {
		got, err := Expand(strings.Split(in, "/"))
		if err != nil || strings.Join(got, ",") != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestLists(t *testing.T) {
	for in, want := range map[string]string{
		"a,b c":     "a,b/c",
		"a, b c":    "a,b/c",
		"a ,b c":    "a,b/c",
		"a , b , c": "a,b,c",
		"a -P, b":   "a/-P,/b",
		"a | ,b":    "a/|/,b",
		"-N:a, b":   "-N:a,b",
	} {
		if got := strings.Join(joined(strings.Fields(in)), "/"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzBind(f *testing.F) {
	for _, s := range []string{
		"Get-VMHost | fl *Migration*", "Move-VM -Name APP01 -DestinationHost HV02 -IncludeStorage:$false",
		"setspn -Q Microsoft Virtual System Migration Service/*", "KLIST PURGE –LI 0x3e7", "Move-VM a b -Vhds @{SourceFilePath='a';DestinationFilePath=\"b\"}",
		"Set-VMMigrationNetwork 192.168.* 10.0.0.1", "Get-VM a , b | select -first 2 Name,State | ft", "Get-VM [a -Select \\,*",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := Words(line)
		if err != nil || len(words) == 0 {
			return
		}
		for _, c := range All() {
			call, err := Bind(c, words, own)
			if err != nil || c.Instead != nil {
				continue
			}
			if _, err := call.Shape.Choose(c.Properties); err != nil && !c.Open && c.Properties != nil {
				t.Errorf("%s %q was accepted, and then %v", c.Name, words, err)
			}
			args, err := call.Native([]string{"HV01"}, nil)
			if err == nil && c.Verb != nil && c.Tool == nil && !slices.Equal(args[:len(c.Verb)], c.Verb) {
				t.Errorf("%s %q became %q", c.Name, words, args)
			}
		}
	})
}
