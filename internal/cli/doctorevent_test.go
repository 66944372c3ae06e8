package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"drover/internal/delegation"
	"drover/internal/doctor"
	"drover/internal/eventlog"
	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/symptom"
)

// Whatever the kind of an event, the question is about its move, or its host.
func TestQuestionOfAnEvent(t *testing.T) {
	const alice = "alice@LAB.DROVER.TEST"
	forth, back := []delegation.Direction{{Source: "HV01", Destination: "HV02"}}, []delegation.Direction{{Source: "HV02", Destination: "HV01"}}
	for _, c := range []struct {
		id       eventlog.ID
		about    eventlog.About
		data     eventlog.Data
		pairs    []delegation.Direction
		vm       string
		operator string
	}{
		{eventlog.MoveFailed, eventlog.About{VM: "APP01", Actor: alice, Code: fault.DiskExists}, eventlog.Data{"destination": "HV02"}, forth, "APP01", alice},
		{eventlog.MoveRefused, eventlog.About{VM: "APP01", Actor: "root"}, eventlog.Data{"destination": "HV02"}, forth, "APP01", ""},
		{eventlog.IncomingFailed, eventlog.About{VM: "APP01", Actor: alice}, eventlog.Data{"source": "HV02"}, back, "APP01", alice},
		{eventlog.IncomingMoveRefused, eventlog.About{Actor: alice}, eventlog.Data{"source": "HV02"}, back, "", alice},
		{eventlog.DelegationAccepted, eventlog.About{Actor: alice}, eventlog.Data{"source": "HV02"}, back, "", alice},
		{eventlog.SignInRefused, eventlog.About{Code: fault.KeytabStale}, eventlog.Data{"remote": "10.77.0.9:40000"}, nil, "", ""},
		{eventlog.RoleMissing, eventlog.About{Actor: alice}, eventlog.Data{"role": "operator"}, nil, "", alice},
		{eventlog.NotDelegated, eventlog.About{Actor: "HV07$@LAB.DROVER.TEST"}, eventlog.Data{"remote": "10.77.0.9:40000"}, nil, "", ""},
		{eventlog.LimitReached, eventlog.About{VM: "APP01", Actor: alice}, nil, nil, "", alice},
		{eventlog.MoveRefused, eventlog.About{VM: "APP01", Actor: alice}, eventlog.Data{"destination": "HV01"}, nil, "", alice},
		{eventlog.MoveRefused, eventlog.About{VM: "APP01", Actor: alice}, eventlog.Data{"destination": "-x; reboot"}, nil, "", alice},
	} {
		if err := eventlog.Check(c.id, c.data); err != nil {
			t.Fatal(err)
		}
		q := questionOf(doctor.Origin{Host: "HV01", Entry: eventlog.New(c.id, start, c.about, c.data)})
		hosts := []string{"HV01"}
		if len(c.pairs) > 0 {
			hosts = nil
		}
		if !slices.Equal(q.Pairs, c.pairs) || !slices.Equal(q.Hosts, hosts) || q.VM != c.vm || q.Operator != c.operator || q.Origin == nil {
			t.Errorf("%d %+v: %+v", c.id, c.about, q)
		}
	}
}

// An entry that others follow is read from the stream, one that was removed is unknown.
func TestEntryThatIsFarBack(t *testing.T) {
	var scenario strings.Builder
	for range 5 {
		scenario.WriteString("event 2000 APP01 alice@LAB.DROVER.TEST destination=HV02\n")
	}
	f := newFakeAgent("HV01", scenario.String())
	for number, want := range map[int64]bool{1: true, 3: true, 5: true, 6: false, 2004: false} {
		e, err := entryOf(t.Context(), logOnly{fakeLog: f}, "HV01", number)
		if want && (err != nil || e.Seq != number) || !want && !fault.Is(err, fault.EventUnknown) {
			t.Errorf("%d: %+v, %v", number, e, err)
		}
	}
}

// Options that cure are read as the command line reads them, however they are quoted,
// and replace those that were of no use.
func TestOptionsThatCureAreTriedAsTheyArePrinted(t *testing.T) {
	in := func(options ...string) (out []record.Incompatibility) {
		for _, o := range options {
			out = append(out, record.Incompatibility{Option: o})
		}
		return out
	}
	q := record.Request{VM: "APP01", Destination: "HV02"}
	q, err := withCures(q, in("--include-storage", "--map-network virbr0='br lan'", "", "--include-storage"))
	if err != nil || !q.IncludeStorage || q.MapNetwork["virbr0"] != "br lan" {
		t.Fatalf("%+v, %v", q, err)
	}
	q, err = withCures(q, in(`--vhds vda='/vms/it'\''s-1.qcow2'`, "--map-network virbr0=br1"))
	if err != nil || !q.IncludeStorage || q.MapNetwork["virbr0"] != "br1" || q.DiskPaths["vda"] != "/vms/it's-1.qcow2" || q.VM != "APP01" {
		t.Fatalf("%+v, %v", q, err)
	}
	for _, bad := range []string{"--host EVIL", "--vhds", "; reboot", "--map-network a"} {
		if got, err := withCures(q, in(bad)); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

// Every code and every message that is known is answered with what it means and
// what to do.
func TestDoctorExplainsAllThatIsKnown(t *testing.T) {
	var texts []string
	for _, e := range fault.All() {
		texts = append(texts, string(e.Code))
	}
	codes := len(texts)
	for _, s := range symptom.All() {
		texts = append(texts, s.Title)
		if s.Number != 0 {
			texts = append(texts, fmt.Sprintf("0x%08X", s.Number))
		}
		for _, pasted := range s.Texts {
			texts = append(texts, strings.ReplaceAll(pasted, "*", "X"))
		}
	}
	for i, text := range texts {
		want := "\nRun:\n  "
		if i < codes {
			want = "\nWhat to do:\n  "
		}
		var out, errs bytes.Buffer
		p := newProgram(nil, &out, &errs)
		if status := p.run(t.Context(), []string{"doctor", "--explain", text}); status != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%q: status %d: %s%s", text, status, out.String(), errs.String())
		}
	}
}
