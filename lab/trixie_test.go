package lab

import (
	"os"
	"path/filepath"
	"testing"
)

func TestARootMadeForOtherPackagesIsNotCurrent(t *testing.T) {
	root := t.TempDir()
	if trixieIsCurrent(root) {
		t.Error("a root without a list of packages counts as current")
	}
	stamp := filepath.Join(root, trixieStamp)
	if err := os.MkdirAll(filepath.Dir(stamp), 0o755); err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]bool{trixieStampContent(): true, "krb5-user\n": false} {
		if err := os.WriteFile(stamp, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := trixieIsCurrent(root); got != want {
			t.Errorf("stamp %q: current is %v", content, got)
		}
	}
}
