package guest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCmdlineReadsBack(t *testing.T) {
	want := Params{
		Name: "APP01", Addr: netip.MustParsePrefix("10.99.0.101/24"),
		Memory: 200 << 20, Rewrite: 20<<20 + 1, Partial: 0, Verify: 3 << 30,
		Mix:  Mix{Zero: 10, Text: 20, Code: 30, Random: 10, Log: 10, Heap: 20},
		Skew: Skew{Rewrites: 80, Pages: 20}, Rows: 7, Buffer: 64 << 10, Files: true, Record: 0, Tick: 5 * time.Millisecond, Corrupt: 17,
	}
	got, err := ParseCmdline("quiet root=/dev/vda " + want.Cmdline() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestAbsentParametersAreTheDefaults(t *testing.T) {
	got, err := ParseCmdline("console=ttyS0")
	if err != nil || got != DefaultParams() {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWrongParametersAreRefused(t *testing.T) {
	for _, word := range []string{
		"drover.memroy=1M", "drover.memory=", "drover.memory=-1", "drover.memory=1T", "drover.memory=9999999999G",
		"drover.mix=zero:50,text:49", "drover.mix=zero:100,gold:0", "drover.mix=zero", "drover.ip=10.0.0.1",
		"drover.ip=fe80::1/64", "drover.name=", "drover.name=" + strings.Repeat("a", maxName+1),
		"drover.skew=80", "drover.skew=80:101", "drover.rows=32",
		"drover.buffer=4K", "drover.buffer=12K", "drover.files=some", "drover.record=50", "drover.record=-5ms", "drover.partial=101", "drover.corrupt=x",
	} {
		if p, err := ParseCmdline(word); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s gave %+v, %v", word, p, err)
		}
	}
}
