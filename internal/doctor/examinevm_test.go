package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/delegation"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/record"
)

// stable are hosts with VMs, and what is in the way of each move from them.
type stable struct {
	vms   map[string][]string // by host
	moves map[string]Move     // by direction
	fails map[string]error    // by host or direction
	asked []string
}

func (s *stable) Has(_ context.Context, host, vm string) (bool, error) {
	return slices.Contains(s.vms[shortName(host)], vm), s.fails[shortName(host)]
}

func (s *stable) Compare(_ context.Context, _, source, destination string) (Move, error) {
	d := shortName(source) + ":" + shortName(destination)
	s.asked = append(s.asked, d)
	return s.moves[d], s.fails[d]
}

// possible is a move that nothing is in the way of.
func possible() Move {
	return Move{Possible: true, Command: "drover move APP01 --host HV01 --to HV02", Comparisons: []record.Comparison{{VM: "APP01", Plan: &record.Plan{}}}}
}

func inWay(object, option string, f *fault.Error) record.Incompatibility {
	return record.Incompatibility{Code: f.Code, Host: f.Host, Message: f.Message(), Object: object, Option: option, Error: f}
}

// stand is a healthy site of hosts whose agents answer but for those that are silent.
func stand(s *stable, q Question, silent ...string) *examination {
	x := &examination{Doctor: &Doctor{Now: time.Now, Machines: s}, q: q, pairs: q.Pairs}
	for _, n := range []string{"HV01", "HV02", "HV03"} {
		h := &seenHost{Host: delegation.Host{Name: n, FQDN: strings.ToLower(n) + ".lab.drover.test"}}
		if !slices.Contains(silent, n) {
			h.agent = &Agent{Host: n}
		}
		x.hosts = append(x.hosts, h)
	}
	if len(x.pairs) == 0 {
		for _, a := range x.hosts {
			for _, b := range x.hosts {
				if a != b {
					x.pairs = append(x.pairs, delegation.Direction{Source: a.Name, Destination: b.Name})
				}
			}
		}
	}
	return x
}

func (x *examination) lookAtVM(t *testing.T) {
	t.Helper()
	x.findVM(t.Context())
	x.compareVM(t.Context())
}

func codesIn(fs []finding.Finding) (out []fault.Code) {
	for _, f := range fs {
		out = append(out, f.Code)
	}
	return out
}

var oneWay = []delegation.Direction{{Source: "HV01", Destination: "HV02"}}

// All that a comparison says is a finding, with the option that cures as its fix, and
// nothing else is.
func TestAllThatCompareSaysComesThrough(t *testing.T) {
	storage := fault.New(fault.StorageNotIncluded, "HV02", "vm", "APP01", "disks", "vda", "destination", "HV02")
	device := fault.New(fault.DeviceRefused, "HV01", "vm", "APP01", "what", "hostdev")
	exists := fault.New(fault.DiskExists, "HV02", "vm", "APP01", "disk", "vda", "path", "/vms/a.qcow2")
	second := fault.New(fault.DiskExists, "HV02", "vm", "APP01", "disk", "vdb", "path", "/vms/b.qcow2")
	line := "drover move APP01 --host HV01 --to HV02 --include-storage --vhds vda=/vms/a-1.qcow2"
	s := &stable{vms: map[string][]string{"HV01": {"APP01"}}, moves: map[string]Move{"HV01:HV02": {Command: line, Comparisons: []record.Comparison{
		{VM: "APP01", Incompatibilities: []record.Incompatibility{inWay("disk vda", "--include-storage", storage), inWay("hostdev", "", device)}},
		{VM: "APP01", Incompatibilities: []record.Incompatibility{inWay("hostdev", "", device), inWay("disk vda", "--vhds vda=/vms/a-1.qcow2", exists), inWay("disk vdb", "", second)}},
	}}}}
	x := stand(s, Question{VM: "APP01", Pairs: oneWay})
	x.lookAtVM(t)
	if want := []fault.Code{fault.StorageNotIncluded, fault.DeviceRefused, fault.DiskExists, fault.DiskExists}; !slices.Equal(codesIn(x.found), want) {
		t.Fatalf("%q, want %q", codesIn(x.found), want)
	}
	f := x.found[0]
	if f.Severity != finding.Error || f.Object != "VM APP01, disk vda" || f.Host != "HV02" || f.Source != "HV01" || f.Destination != "HV02" || f.Message != storage.Message() || f.Why == "" {
		t.Errorf("%+v", f)
	}
	if len(f.Fix) != 1 || f.Fix[0].Line != line || !strings.Contains(f.Effect, "--include-storage") || len(x.found[1].Fix) != 0 || f.ReadFrom != "the agent of HV02" {
		t.Errorf("%+v, %+v", f, x.found[1])
	}
	if !strings.Contains(x.found[2].Evidence, "with the options that cure") || strings.Contains(f.Evidence, "options") {
		t.Errorf("%q, %q", f.Evidence, x.found[2].Evidence)
	}
	if len(Fold(x.found)) != 4 || len(x.notChecked) != 0 || len(x.vm.Moves) != 1 || !slices.Equal(x.vm.Hosts, []string{"HV01"}) {
		t.Errorf("%+v, %+v, %+v", Fold(x.found), x.notChecked, x.vm)
	}
}

// What the doctor has seen already is not said twice.
func TestCompareRepeatsNothing(t *testing.T) {
	off := fault.New(fault.MigrationDisabled, "HV02", "direction", "incoming")
	s := &stable{vms: map[string][]string{"HV01": {"APP01"}}, moves: map[string]Move{"HV01:HV02": {
		Comparisons: []record.Comparison{{Incompatibilities: []record.Incompatibility{inWay("live migration", "", off)}}}}}}
	x := stand(s, Question{VM: "APP01", Pairs: oneWay})
	x.tell(finding.Error, "HV02", off, "incoming live migration is off", "the agent of HV02")
	x.lookAtVM(t)
	if len(x.found) != 1 || x.found[0].Object != "HV02" {
		t.Errorf("%+v", x.found)
	}
}

// Where the VM is decides what is compared; what nobody could be asked has not passed.
func TestWhereTheVMIs(t *testing.T) {
	on := func(hosts ...string) map[string][]string {
		out := map[string][]string{}
		for _, h := range hosts {
			out[h] = []string{"APP01"}
		}
		return out
	}
	unreachable := fault.New(fault.AgentUnreachable, "HV02", "address", "HV02:6601")
	for _, c := range []struct {
		name       string
		q          Question
		on         map[string][]string
		fails      map[string]error
		silent     []string
		compared   []string
		want       []fault.Code
		notChecked []string // "what object: reason", by parts
	}{
		{"named alone", Question{}, on("HV02"), nil, nil, []string{"HV02:HV01", "HV02:HV03"}, nil, nil},
		{"among hosts", Question{Hosts: []string{"HV01", "HV02", "HV03"}}, on("HV03"), nil, nil, []string{"HV03:HV01", "HV03:HV02"}, nil, nil},
		{"one direction", Question{Pairs: oneWay}, on("HV01"), nil, nil, []string{"HV01:HV02"}, nil, nil},
		{"on two hosts", Question{Pairs: append([]delegation.Direction{{Source: "HV02", Destination: "HV03"}}, oneWay...)}, on("HV01", "HV02"), nil, nil, []string{"HV02:HV03", "HV01:HV02"}, nil, nil},
		{"the other end has it", Question{Pairs: oneWay}, on("HV02"), nil, nil, nil, []fault.Code{fault.VMNotFound}, nil},
		{"nobody has it", Question{}, nil, nil, nil, nil, []fault.Code{fault.VMNotFound}, nil},
		{"after an event nobody has it", Question{Origin: &Origin{}, Pairs: oneWay}, on("HV02"), nil, nil, nil, nil, []string{"HV01 does not have it now; it is on HV02"}},
		{"nobody that was asked has it", Question{}, nil, nil, []string{"HV02"}, nil, nil, []string{"HV02: its agent could not be asked"}},
		{"the source is silent", Question{Pairs: oneWay}, nil, nil, []string{"HV01"}, nil, nil, []string{"HV01:HV02: its agent could not be asked"}},
		{"the source does not tell", Question{Pairs: oneWay}, nil, map[string]error{"HV01": fault.New(fault.RoleMissing, "HV01", "operator", "a", "role", "viewer")}, nil, nil, nil, []string{"HV01:HV02: "}},
		{"the destination is silent", Question{Pairs: oneWay}, on("HV01"), map[string]error{"HV01:HV02": unreachable}, nil, []string{"HV01:HV02"}, []fault.Code{fault.AgentUnreachable}, []string{"HV01:HV02: no droverd answers"}},
		{"the answer breaks off", Question{Pairs: oneWay}, on("HV01"), map[string]error{"HV01:HV02": errors.New("EOF")}, nil, []string{"HV01:HV02"}, nil, []string{"HV01:HV02: EOF"}},
		{"the answer takes too long", Question{Pairs: oneWay}, on("HV01"), map[string]error{"HV01:HV02": fault.New(fault.Deadline, "HV01")}, nil, []string{"HV01:HV02"}, nil, []string{"HV01:HV02: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &stable{vms: c.on, fails: c.fails, moves: map[string]Move{}}
			for _, a := range []string{"HV01", "HV02", "HV03"} {
				for _, b := range []string{"HV01", "HV02", "HV03"} {
					s.moves[a+":"+b] = possible()
				}
			}
			c.q.VM = "APP01"
			x := stand(s, c.q, c.silent...)
			x.lookAtVM(t)
			if !slices.Equal(s.asked, c.compared) || !slices.Equal(codesIn(x.found), c.want) {
				t.Errorf("compared %q, want %q; found %q, want %q", s.asked, c.compared, codesIn(x.found), c.want)
			}
			var reasons []string
			for _, n := range x.notChecked {
				reasons = append(reasons, n.Object+": "+n.Reason)
			}
			for i, part := range c.notChecked {
				if len(reasons) != len(c.notChecked) || !strings.Contains(reasons[i], part) {
					t.Errorf("not checked: %q, want %q", reasons, c.notChecked)
				}
			}
			passed := len(x.vm.Moves)
			if len(c.fails) > 0 && passed > 0 || len(c.notChecked) == 0 && len(reasons) > 0 {
				t.Errorf("%d moves have passed; not checked: %q", passed, reasons)
			}
		})
	}
}

// Findings of directions that do not begin at the VM's host are not about it.
func TestVMByItselfLeavesOtherDirectionsOut(t *testing.T) {
	s := &stable{vms: map[string][]string{"HV01": {"APP01"}}, moves: map[string]Move{"HV01:HV02": possible(), "HV01:HV03": possible()}}
	x := stand(s, Question{VM: "APP01"})
	for _, d := range []delegation.Direction{{Source: "HV01", Destination: "HV02"}, {Source: "HV02", Destination: "HV03"}} {
		f := finding.New(finding.Error, d.Source+"$", fault.New(fault.DelegationMissing, d.Source, "account", d.Source))
		f.Source, f.Destination = d.Source, d.Destination
		x.add(f)
	}
	for _, h := range []string{"HV01", "HV02"} { // a source needs this, a destination does not
		f := finding.New(finding.Error, h+"$", fault.New(fault.TransitionMissing, h, "account", h))
		f.Host = h
		x.add(f)
		for _, flag := range []string{"outgoing", "incoming"} {
			f := finding.New(finding.Error, h, fault.New(fault.MigrationDisabled, h, "direction", flag))
			f.Host, f.Fix = h, []finding.Command{{Tool: finding.Drover, Line: "drover host set --host " + h + " --" + flag + " on"}}
			x.add(f)
		}
	}
	x.lookAtVM(t)
	var left []string
	for _, f := range x.found {
		left = append(left, f.Message)
	}
	if len(left) != 4 || x.found[0].Source != "HV01" || x.found[1].Host != "HV01" || !strings.Contains(left[2], "HV01 has outgoing") || !strings.Contains(left[3], "HV02 has incoming") || len(x.pairs) != 2 {
		t.Errorf("%q, %v", left, x.pairs)
	}
}

// A destination that the doctor has seen to hang explains what the source says of it.
func TestSilentDestinationIsOneCause(t *testing.T) {
	s := &stable{vms: map[string][]string{"HV01": {"APP01"}}, fails: map[string]error{"HV01:HV02": fault.New(fault.AgentUnreachable, "HV02", "address", "HV02:6601")}}
	x := stand(s, Question{VM: "APP01", Pairs: oneWay}, "HV02")
	x.tell(finding.Error, "hv02.lab.drover.test", fault.New(fault.AgentHangs, "HV02", "name", "hv02", "port", "TCP port 6601", "address", "192.0.2.2"), "", "", aboutHost(x.hosts[1]))
	x.lookAtVM(t)
	if c := Fold(x.found); len(c) != 1 || c[0].Code != fault.AgentHangs || len(c[0].Consequences) != 1 {
		t.Errorf("%+v", c)
	}
}
