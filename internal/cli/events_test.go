package cli

import (
	"bytes"
	"testing"
	"time"
)

func TestEventsPageIsMadeFromTheRegistry(t *testing.T) {
	var b bytes.Buffer
	if err := writeEventsMD(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/events.md", b.String())
}

func TestSinceIsATimeOrHowLongAgo(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.Local)
	for s, want := range map[string]time.Time{
		"": {}, "90m": now.Add(-90 * time.Minute), "1h30m": now.Add(-90 * time.Minute), "7d": now.AddDate(0, 0, -7),
		"2026-11-19": time.Date(2026, 11, 19, 0, 0, 0, 0, time.Local), "2026-11-20T08:00:00+01:00": time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC),
	} {
		if got, err := parseSince(s, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, want %v: %v", s, got, want, err)
		}
	}
	for _, s := range []string{"-1h", "7", "yesterday", "20.11.2026", "999999d"} {
		if got, err := parseSince(s, now); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}
