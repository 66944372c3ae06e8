package agent

import (
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
)

func TestOneHostDoesNotTakeAllConnections(t *testing.T) {
	var c callers
	one, other := move.Caller{DelegatedBy: "HV01$@LAB"}, move.Caller{DelegatedBy: "HV03$@LAB"}
	var leave func()
	for i := range ofOneCaller {
		var err error
		if leave, err = c.enter("HV02", one); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	if _, err := c.enter("HV02", move.Caller{DelegatedBy: "hv01$@lab", Principal: "bob@LAB"}); !fault.Is(err, fault.MigrationLimit) {
		t.Errorf("one more: %v", err)
	}
	if out, err := c.enter("HV02", other); err != nil {
		t.Errorf("another host: %v", err)
	} else {
		out()
	}
	leave()
	if _, err := c.enter("HV02", one); err != nil {
		t.Errorf("after one has left: %v", err)
	}
	if len(c.open) != 1 {
		t.Errorf("remembered %v", c.open)
	}
}

// A host may say what it likes of its name; the account is what the controller says.
func TestAHostDoesNotGoByAnothersName(t *testing.T) {
	for _, c := range [][3]string{
		{"HV01", "HV01$@LAB", "HV01"},
		{"hv01.lab.test", "HV01$@LAB", "hv01.lab.test"},
		{"HV02", "HV01$@LAB", "HV01"},
		{"", "HV01$@LAB", "HV01"},
		{"HV01$", "HV01$@LAB", "HV01"},
		{"HV0", "HV01$@LAB", "HV01"},
		{"a-host-with-a-long-name.lab.test", "A-HOST-WITH-A-L$@LAB", "a-host-with-a-long-name.lab.test"},
		{"a-host-with-other-name", "A-HOST-WITH-A-L$@LAB", "A-HOST-WITH-A-L"},
	} {
		if got := nameOf(c[0], c[1]); got != c[2] {
			t.Errorf("%s of %s is called %s, want %s", c[0], c[1], got, c[2])
		}
	}
}
