package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"drover/internal/api"
)

func TestMachineIDTellsEqualOnesOnly(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "machine-id")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const id = "0123456789abcdef0123456789abcdef"
	a, b, other := machineID(file(id+"\n")), machineID(file(id)), machineID(file("1123456789abcdef0123456789abcdef\n"))
	if a == "" || a != b || a == other || a == id || len(a) != 32 {
		t.Errorf("%q %q %q", a, b, other)
	}
	if none := machineID(file("uninitialized\n")) + machineID(file("")) + machineID("/nonexistent"); none != "" {
		t.Errorf("%q", none)
	}
}

func TestTimeZoneOfTheMachine(t *testing.T) {
	berlin, err := filepath.Abs("testdata/zoneinfo/Europe/Berlin") // of the IANA's tz database
	if err != nil {
		t.Fatal(err)
	}
	dir, now := t.TempDir(), time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	data, err := os.ReadFile(berlin)
	if err != nil {
		t.Fatal(err)
	}
	link, copied := filepath.Join(dir, "link"), filepath.Join(dir, "copied")
	if err := os.Symlink(berlin, link); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		want api.TimeZone
	}{
		{link, api.TimeZone{Name: "Europe/Berlin", Winter: 60, Summer: 120}},
		{copied, api.TimeZone{Winter: 60, Summer: 120}},
		{filepath.Join(dir, "missing"), api.TimeZone{}},
	} {
		if got := timeZone(c.path, now); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.path, got, c.want)
		}
	}
}
