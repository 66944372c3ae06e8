package cli

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// An agent that takes the connection and says nothing must not keep a shell from
// going on.
func TestCompletionDoesNotWaitForASilentAgent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "mute.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var out, errs bytes.Buffer
	if status := Run(t.Context(), []string{"__complete", "vm", "show", "--socket", socket, ""}, nil, &out, &errs); status != 0 || out.String() != ":4\n" {
		t.Errorf("status %d: %s%s", status, out.String(), errs.String())
	}
}

// Whoever adds a verb must not have to think of completion: a word that stands for
// something an agent knows is completed, and files are offered for files only.
func TestEveryArgumentAndFlagHasACompletion(t *testing.T) {
	for _, c := range verbs() {
		if c.DisableFlagParsing || c.Name() == "help" || strings.Contains(c.CommandPath(), "completion") {
			continue
		}
		if c.ValidArgsFunction == nil && !strings.Contains(c.Use, "FILE") && !strings.Contains(c.Use, "PLAN") && !strings.Contains(c.Use, "BASELINE") {
			t.Errorf("%s: no completion of arguments", c.CommandPath())
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			_, registered := c.GetFlagCompletionFunc(f.Name)
			value, _ := pflag.UnquoteUsage(f)
			file := strings.Contains("file path directory", strings.ToLower(value))
			if f.NoOptDefVal == "" && !registered && !file && f.Name != "output" {
				t.Errorf("%s --%s: no completion", c.CommandPath(), f.Name)
			}
		})
	}
}

func TestOnlyHarmlessWordsAreOffered(t *testing.T) {
	for word, want := range map[string]bool{
		"APP01": true, "web-1.example.org": true, "Büro_2": true, "192.168.10.0/24": true, "fd00::1": true,
		"": false, "-rf": false, "a b": false, "$(reboot)": false, "a;b": false, "a\tb": false, "`id`": false, "~root": false, "a\nb": false, "*": false,
	} {
		if harmless(word) != want {
			t.Errorf("%q: %v", word, !want)
		}
	}
}

func TestMetHostsAreBoundedAndTheOldestGoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drover", "hosts")
	for i := range maxHosts + 1 {
		keepHost(path, "HV"+strings.Repeat("0", i%7)+string(rune('a'+i%26))+strings.Repeat("x", i/26))
	}
	keepHost(path, "last:6601")
	names := readHosts(path)
	if len(names) != maxHosts || names[len(names)-1] != "last" || names[0] == "HVa" {
		t.Errorf("%d names, from %s to %s", len(names), names[0], names[len(names)-1])
	}
}
