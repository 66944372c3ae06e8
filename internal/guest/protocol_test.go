package guest

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// largestStatus is as long as a guest can make it.
func largestStatus() Status {
	long := strings.Repeat("x", maxError)
	s := Status{
		Version: protocolVersion, Name: strings.Repeat("n", maxName), Nonce: math.MaxUint64,
		UptimeNs: math.MaxInt64, Serial: math.MaxUint32, Seq: math.MaxUint64, SentNs: math.MinInt64, Ready: true,
		Memory: MemoryStatus{
			Pages: math.MaxUint32, Zero: math.MaxUint32, Filled: math.MaxUint32, Verified: 1 << 50, Passes: math.MaxUint32,
			Rewritten: 1 << 50, GenerationSum: 1 << 50, Errors: 1 << 50, FirstError: long,
		},
		Clock:        ClockStatus{MonotonicGapNs: 1 << 40, RealtimeGapNs: 1 << 62, Ticks: 1 << 40},
		RequestGapNs: math.MaxInt64, VerifyDone: math.MaxUint64,
	}
	for range maxDisks {
		s.Disks = append(s.Disks, DiskStatus{"vda", 1 << 40, 1 << 40, 1 << 40, 1 << 40, math.MaxUint32, long})
	}
	return s
}

func TestLargestStatusFitsADatagram(t *testing.T) {
	want := largestStatus()
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeStatus(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOrdinaryStatusFitsOneFrame(t *testing.T) {
	s := largestStatus()
	s.Memory.FirstError = ""
	for i := range s.Disks {
		s.Disks[i].FirstError = ""
	}
	b, err := s.Encode()
	if err != nil || len(b) > 1400 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestOverlongStatusIsRefused(t *testing.T) {
	s := largestStatus()
	s.Memory.FirstError = strings.Repeat("x", maxMessage)
	if _, err := s.Encode(); err == nil {
		t.Error("a status longer than a datagram was encoded")
	}
}

func TestForeignDatagramsAreRefused(t *testing.T) {
	for _, in := range []string{
		"", "x", "{}", "null", `{"v":2,"op":"ping"}`, `{"v":1,"op":"off"}`, `{"v":1}`, `{"v":"1","op":"ping"}`,
		`{"v":1,"op":"ping","seq":-1}`, strings.Repeat(" ", maxMessage) + `{"v":1,"op":"ping"}`,
	} {
		if r, err := DecodeRequest([]byte(in)); err == nil {
			t.Errorf("request %.40q gave %+v", in, r)
		}
	}
	for _, in := range []string{"", "{}", `{"v":1}`, `{"v":2,"name":"a"}`, `{"v":1,"name":"` + strings.Repeat("a", maxName+1) + `"}`} {
		if s, err := DecodeStatus([]byte(in)); err == nil {
			t.Errorf("status %.40q gave %+v", in, s)
		}
	}
}

func TestNewerFieldsAreIgnored(t *testing.T) {
	s, err := DecodeStatus([]byte(`{"v":1,"name":"APP01","serial":3,"colour":"red"}`))
	if err != nil || s.Name != "APP01" || s.Serial != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
}

func FuzzHeartbeat(f *testing.F) {
	if b, err := largestStatus().Encode(); err == nil {
		f.Add(b)
	}
	f.Add([]byte(`{"v":1,"op":"verify-now","observer":1,"seq":2,"sent_ns":-3,"token":4}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if r, err := DecodeRequest(in); err == nil {
			b, err := r.Encode()
			if err != nil {
				t.Fatalf("request %+v: %v", r, err)
			}
			if again, err := DecodeRequest(b); err != nil || again != r {
				t.Fatalf("request %+v became %+v, %v", r, again, err)
			}
		}
		s, err := DecodeStatus(in)
		if err != nil {
			return
		}
		b, err := s.Encode()
		if err != nil {
			return // what JSON escapes can be longer than it was
		}
		again, err := DecodeStatus(b)
		if err != nil {
			t.Fatalf("status %+v: %v", s, err)
		}
		if len(s.Disks) == 0 {
			s.Disks = nil // [] and absent are the same
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestClipKeepsWholeCharacters(t *testing.T) {
	got := clip(strings.Repeat("ä", maxError))
	if len(got) > maxError || !strings.HasSuffix(got, "ä...") {
		t.Errorf("%q", got)
	}
}
