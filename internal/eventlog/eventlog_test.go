package eventlog

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/settings"
)

var kebab = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)

func TestEveryKindIsWhole(t *testing.T) {
	names := map[string]bool{}
	for _, k := range All() {
		if !kebab.MatchString(k.Name) || names[k.Name] {
			t.Errorf("%d: name %q is not kebab-case or not the only one", k.ID, k.Name)
		}
		names[k.Name] = true
		if !k.Level.Known() || k.Title == "" || k.Message == "" || !strings.HasSuffix(k.Says, ".") {
			t.Errorf("%d (%s): level, title, message or meaning is missing", k.ID, k.Name)
		}
		members := map[string]bool{"vm": true, "move": true, "actor": true, "code": true}
		for _, m := range k.Data {
			if members[m.Name] || m.Meaning == "" {
				t.Errorf("%d (%s): member %q is there twice, or means nothing", k.ID, k.Name, m.Name)
			}
			members[m.Name] = true
		}
		for _, p := range place.FindAllString(k.Message, -1) {
			if !members[strings.Trim(p, "{}")] {
				t.Errorf("%d (%s): the message names %s, which it does not have", k.ID, k.Name, p)
			}
		}
	}
}

// A script that looks for 2003 must find the same thing next year.
func TestNumbersAreWhatTheyWere(t *testing.T) {
	for id, name := range map[ID]string{1000: "agent-started", 2003: "move-done", 2004: "move-failed", 2103: "incoming-move-done",
		3000: "connection-refused", 3003: "role-missing", 4000: "settings-changed", 5000: "delegation-used", 6000: "limit-reached", 8000: "journal-trouble"} {
		if k, ok := Lookup(id); !ok || k.Name != name {
			t.Errorf("%d is %q, was %q", id, k.Name, name)
		}
	}
	if k, _ := Lookup(MoveFailed); k.Windows != 21024 {
		t.Error("a failed move no longer names its number on Windows")
	}
}

var at = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func TestMessagesAreMadeFromTheData(t *testing.T) {
	for _, tc := range []struct {
		name  string
		id    ID
		about About
		data  Data
		want  string
	}{
		{"figures in their units", MoveDone, About{VM: "APP01"}, Data{"destination": "HV02", "total_ms": int64(41200), "blackout_ms": 212, "wire_bytes": uint64(5 << 30), "network": "10.0.0.0/24"},
			"APP01 is on HV02 now: 41.2 s in all, blackout 212 ms, 5.0 GiB on 10.0.0.0/24"},
		{"what is not known is left out where it may be", IncomingDone, About{VM: "APP01"}, Data{"source": "HV01", "total_ms": 5},
			"APP01 came from HV01: 5 ms in all"},
		{"what is not known says so elsewhere", MoveQueued, About{}, nil, "(unknown) moves (unknown) to (unknown)"},
		{"settings", SettingsChanged, About{Actor: "ann@X"}, Data{"changes": []settings.Difference{{Setting: "maximum_migrations", From: "2", To: "4"}, {Setting: "networks", To: "10.0.0.0/8"}}},
			"ann@X changed maximum_migrations from 2 to 4, networks from none to 10.0.0.0/8"},
		{"a value is not a template", MoveNotice, About{VM: "{text}"}, Data{"text": "[{vm}]"}, "move of {text}: [{vm}]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := Check(tc.id, tc.data); err != nil {
				t.Error(err)
			}
			if got := New(tc.id, at, tc.about, tc.data).Message; got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestWhatOthersSayIsOneBoundedLine(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	e := New(ConnectionRefused, at, About{Code: fault.NotDelegated, VM: "a\x1b]0;x\ab"}, Data{"remote": "10.0.0.1:1", "reason": "one\ntwo\u202e" + long, "cause": "\xff"})
	if strings.ContainsAny(e.Message+e.VM, "\n\x1b\a\u202e") || len(e.Message) > 3000 {
		t.Errorf("%d bytes: %.80q", len(e.Message), e.Message)
	}
	if len(e.Data) > maxData {
		t.Errorf("%d bytes of data", len(e.Data))
	}
	many := make([]string, 1000)
	for i := range many {
		many[i] = long
	}
	if e := New(MoveDone, at, About{}, Data{"removed": many}); len(e.Data) > maxData || !strings.Contains(string(e.Data), "left_out") {
		t.Errorf("%d bytes of data", len(e.Data))
	}
	if e := New(MoveDone, at, About{}, Data{"removed": make([]string, 100)}); !strings.Contains(string(e.Data), "and 36 more") {
		t.Error(string(e.Data))
	}
}

func TestUnknownMembersAreFound(t *testing.T) {
	if Check(MoveDone, Data{"speed": 1}) == nil || Check(1, nil) == nil {
		t.Error("a number or a member that is not registered passes")
	}
}
