package doctor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/finding"
	"drover/internal/krb"
	"drover/internal/look"
)

// typed runs commands at a shell.
func typed(t *testing.T, cs []finding.Command) {
	t.Helper()
	for _, c := range cs {
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", c.Line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c.Line, err, out)
		}
	}
}

// Cures of files change what the finding is about and nothing else, and are taken back
// whatever else was cured in between.
func TestCuresOfFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a file")
	put := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	has := func() string {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	const zone, realm = "lab.drover.test", "LAB.DROVER.TEST"
	conf := "[libdefaults]\n default_realm = OTHER\n[domain_realm]\n labxdrover.test = OTHER\n .lab.drover.test = OTHER\n hv02.lab.drover.test = OTHER\n .test = OTHER\n[appdefaults]\n .lab.drover.test = OTHER\n"
	for _, c := range []struct {
		name, have string
		cure       func() (fix, undo []finding.Command)
		want       string
	}{
		{"its own line of krb5.conf", conf, func() (fix, undo []finding.Command) { return mapping(path, "hv02.lab.drover.test", zone, realm) },
			strings.Replace(conf, "hv02.lab.drover.test = OTHER", "hv02.lab.drover.test = "+realm, 1)},
		{"its domain's line", conf, func() (fix, undo []finding.Command) { return mapping(path, ".lab.drover.test", zone, realm) },
			strings.Replace(conf, " .lab.drover.test = OTHER", " .lab.drover.test = "+realm, 1)},
		{"the line of more than its domain", "[domain_realm]\n .test = OTHER\n", func() (fix, undo []finding.Command) { return mapping(path, ".test", zone, realm) },
			"[domain_realm]\n .lab.drover.test = " + realm + "\n .test = OTHER\n"},
		{"domain in place of search", "nameserver 10.0.0.1\ndomain other.test", func() (fix, undo []finding.Command) {
			return searchList(path, "HV02", firstDomain([]string{"other.test"}, zone))
		}, "nameserver 10.0.0.1\n\nsearch lab.drover.test other.test\n"},
		{"two lines of search", "search a.test\nsearch other.test\nnameserver 10.0.0.1\n", func() (fix, undo []finding.Command) {
			return searchList(path, "HV02", lastDomain([]string{"other.test"}, zone))
		}, "nameserver 10.0.0.1\n\nsearch other.test lab.drover.test\n"},
	} {
		put(c.have)
		fix, undo := c.cure()
		typed(t, fix)
		if got := has(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		typed(t, undo)
		if got := has(); got != c.have {
			t.Errorf("%s: taken back %q", c.name, got)
		}
	}
	// Two findings about one file: the backup of the first is what it was.
	put("10.0.0.12 hv02\n10.0.0.13 hv03\n10x0.0.13 hv04\n")
	first, back := edit(path, "HV02", `/^`+literal("10.0.0.12")+` /d`)
	second, _ := edit(path, "HV03", `/^`+literal("10.0.0.13")+` /d`)
	typed(t, first)
	typed(t, second)
	if got := has(); got != "10x0.0.13 hv04\n" {
		t.Errorf("%q", got)
	}
	typed(t, back)
	if got := has(); !strings.HasPrefix(got, "10.0.0.12 hv02\n") {
		t.Errorf("taken back %q", got)
	}
}

// The line that counts is named, and the resolver reads the list that was written.
func TestFilesSayWhatCounts(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "krb5.conf")
	if err := os.WriteFile(path, []byte("[domain_realm]\n .test = A\n .lab.drover.test = B\n hv02.lab.drover.test = C\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := krb.ReadConf(path)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"HV02.lab.drover.test.": "hv02.lab.drover.test C", "hv01.lab.drover.test": ".lab.drover.test B", "x.test": ".test A", "x.org": " "} {
		if name, realm := conf.Mapping(host); name+" "+realm != want {
			t.Errorf("%s: %q %q, want %q", host, name, realm, want)
		}
	}
	path = filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(path, []byte("domain other.test\nnameserver 10.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fix, _ := searchList(path, "HV02", firstDomain([]string{"other.test"}, "lab.drover.test"))
	typed(t, fix)
	if r, err := (look.Machine{ResolvConf: path}).Resolver(); err != nil || strings.Join(r.Search, " ") != "lab.drover.test other.test" || len(r.Servers) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Without a controller there is no command with a made-up name.
func TestNoCommandForAControllerThatNobodyKnows(t *testing.T) {
	h := seen("HV01", nil, nil, nil)
	for _, c := range []struct {
		known []controller
		want  int
	}{{nil, 1}, {[]controller{{name: "dc1.lab.drover.test"}}, 2}} {
		x := &examination{Doctor: &Doctor{}, controllers: c.known}
		if got := x.record(h, true, addr("10.0.0.11")); len(got) != c.want || strings.Contains(got[0].Line, placeholder) {
			t.Errorf("%+v", got)
		}
	}
}
