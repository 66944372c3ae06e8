package delegation

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"drover/internal/directory"
	"drover/internal/directory/ldif"
)

// Otherwise there would be no way back.
func TestABaselineThatCouldNotBeReadIsNotWritten(t *testing.T) {
	b := &Baseline{Time: time.Unix(0, 0), BaseDN: "DC=lab", SID: "S-1-5-21-1-2-3", Objects: []Object{{DN: "CN=HV01,DC=lab", Account: "HV01$",
		Attributes: map[string][][]byte{directory.AttributeDelegateTo: {bytes.Repeat([]byte("x"), ldif.MaxSize/3)}}}}}
	if err := b.WriteLDIF(io.Discard); err != nil {
		t.Fatal(err)
	}
	b.Objects = append(b.Objects, b.Objects[0], b.Objects[0])
	if err := b.WriteLDIF(io.Discard); err == nil || !strings.Contains(err.Error(), "fewer hosts") {
		t.Error(err)
	}
}
