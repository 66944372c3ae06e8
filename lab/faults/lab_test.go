package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"drover/lab"
)

// TestCasesInTheLab tries one case of each kind; `make faults` tries all.
func TestCasesInTheLab(t *testing.T) {
	lab.Require(t)
	cases := []string{
		"shared/source:prepare/cancel",
		"shared/source:handover/agent-destination",
		"shared/destination:confirm/cut-migration",
		"storage/source:transfer/agent-source",
		"storage/destination:transfer/libvirt-destination",
		"storage/destination:finish/destination-gone",
	}
	var quoted []string
	for _, c := range cases {
		quoted = append(quoted, regexp.QuoteMeta(c))
	}
	out := filepath.Join(t.TempDir(), "faults.json")
	log := testLog{t}
	err := Run(t.Context(), Options{Lab: lab.Options{Name: fmt.Sprintf("test-%d-faults", os.Getpid()), Rootfs: "trixie"},
		Only: "^(" + strings.Join(quoted, "|") + ")$", Out: out, Stdout: log, Stderr: log})
	if err != nil {
		t.Error(err)
	}
	r, err := Read(out, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != len(cases) {
		t.Errorf("%d of %d cases were tried", len(r.Results), len(cases))
	}
	for _, x := range r.Results {
		if !x.good() || !x.Verified || x.Copies != 1 {
			t.Errorf("%s: %+v", x.Case, x)
		}
	}
}

// testLog writes into a test's log, line by line.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Helper()
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
