package faults

import (
	"fmt"
	"slices"

	"drover/internal/record"
)

// Case is one fault at one point of a move, with the VM's disk copied or shared.
type Case struct {
	At      Point  `json:"at"`
	Fault   string `json:"fault"`
	Storage bool   `json:"storage"`
}

func (c Case) String() string {
	return fmt.Sprintf("%s/%s/%s", map[bool]string{false: "shared", true: "storage"}[c.Storage], c.At, c.Fault)
}

// applies tells whether there is anything for a fault to break at a point.
func applies(f string, at Point) bool {
	if f == QEMUDestination {
		return waiting(at)
	}
	return true
}

// waiting tells whether at this point there is a QEMU at the destination.
func waiting(at Point) bool {
	switch at.Phase {
	case record.Connect, record.Transfer:
		return true
	}
	return at.HandedOver()
}

// Cases lists the whole matrix, first what matters most: the end of a move, in which
// the VM changes hands.
func Cases() []Case {
	late := func(p Point) bool { return p.Phase == record.Transfer || p.HandedOver() }
	var cases []Case
	for _, wanted := range []bool{true, false} {
		for _, storage := range []bool{false, true} {
			for _, at := range Points() {
				if late(at) != wanted {
					continue
				}
				for _, f := range Faults() {
					if applies(f.Name, at) {
						cases = append(cases, Case{At: at, Fault: f.Name, Storage: storage})
					}
				}
			}
		}
	}
	return cases
}

// Shard takes every of-th case, beginning with the given one, from 1 on.
func Shard(cases []Case, number, of int) []Case {
	var mine []Case
	for i, c := range cases {
		if i%of == number-1 {
			mine = append(mine, c)
		}
	}
	return mine
}

// Place is where a VM lives in the end.
type Place string

// Places.
const (
	AtSource      Place = "source"
	AtDestination Place = "destination"
	// Nowhere: the fault has ended the only copy itself.
	Nowhere Place = "nowhere"
)

// Expectation is what a case has to come to.
type Expectation struct {
	// Lives are the places where the VM may live. More than one only where what the
	// fault breaks is not decided by the point alone; the journals agree with the one
	// that it is.
	Lives []Place
	// Person: the facts do not allow that anybody but a person decides.
	Person bool
	// Risk: the person brings a state back that another copy has outlived. Its disk may
	// be ahead of its memory; the command says so.
	Risk bool
}

func (e Expectation) allows(p Place) bool { return slices.Contains(e.Lives, p) }

// Expect is the table of what has to come of each case.
func Expect(c Case) Expectation {
	at := c.At
	before := !at.HandedOver()
	told := at.Role == record.Source && at.Phase == record.Handover // journalled, not yet said
	decided := at.Role == record.Destination && (at.Phase == record.Handover || at.Phase == record.Finish)
	source, destination := Expectation{Lives: []Place{AtSource}}, Expectation{Lives: []Place{AtDestination}}
	nowhere, either := Expectation{Lives: []Place{Nowhere}}, Expectation{Lives: []Place{AtSource, AtDestination}}
	pick := func(b, t, d, r Expectation) Expectation {
		switch {
		case before:
			return b
		case told:
			return t
		case decided:
			return d
		}
		return r
	}
	switch c.Fault {
	case AgentSource:
		return pick(source, source, destination, destination)
	case AgentDestination, AgentsBoth, LibvirtDestination:
		return pick(source, source, source, destination)
	case LibvirtSource: // the source looks at its guest a last time before it tells
		return pick(source, source, destination, destination)
	case QEMUSource:
		return pick(nowhere, destination, destination, destination)
	case QEMUDestination:
		return pick(source, source, source, nowhere)
	case CutMigration, CutBoth, DeafDestination:
		return pick(source, source, destination, destination)
	case DeafSource:
		return pick(source, destination, destination, destination)
	case CutManagement:
		return expectUnmanaged(at, source, destination, either)
	case DiskFull:
		d := either
		if at.Phase == record.Finish {
			d = destination
		}
		return pick(either, either, d, destination)
	case MemoryExhausted:
		return pick(source, source, source, Expectation{Lives: []Place{Nowhere, AtDestination}})
	case SourceGone:
		return pick(nowhere, nowhere, destination, destination)
	case DestinationGone:
		person := Expectation{Lives: []Place{AtSource}, Person: true}
		after := nowhere
		if at.Role == record.Destination { // the answer was not sent
			after = Expectation{Lives: []Place{AtSource}, Person: true, Risk: true}
		}
		return pick(source, person, person, after)
	case Stall:
		b := source
		if at.Role == record.Source && (at.Phase == record.Queued || at.Phase == record.Negotiate || at.Phase == record.Authorise) {
			b = either // nobody waits for it yet
		}
		return pick(b, source, destination, destination)
	case ClockJump:
		return pick(either, destination, destination, destination)
	case Cancel:
		return pick(source, destination, destination, destination)
	}
	return Expectation{}
}

// expectUnmanaged: the destination is found through its management address; all the
// rest goes through the migration network.
func expectUnmanaged(at Point, source, destination, either Expectation) Expectation {
	switch at.Phase {
	case record.Queued, record.Negotiate:
		return source
	case record.Authorise:
		if at.Role == record.Source {
			return either
		}
	}
	return destination
}
