package delegation

import (
	"context"
	"slices"
	"strings"
	"time"

	"drover/internal/directory"
	"drover/internal/fault"
)

// Baseline is the old values of everything that a plan changes. A group that a
// rollback removes is not in it, because it cannot be had back: its SID is never
// given again.
type Baseline struct {
	Time    time.Time
	Server  string
	BaseDN  string
	SID     string // the domain's
	USN     int64  // highestCommittedUSN when it was written
	Objects []Object
	// Created are objects that did not exist.
	Created []string
}

// Object is the old state of one object: all values of the attributes that a plan
// changes, empty for an attribute without value.
type Object struct {
	DN         string
	Account    string
	GUID       string
	USN        int64
	Attributes map[string][][]byte
}

const attributeName = "sAMAccountName"

// Needs are the attributes of each object, by distinguished name, that Print has to
// know as they are now.
func (p *Plan) Needs() map[string][]string {
	needs := map[string][]string{}
	for _, c := range p.Changes {
		needs[c.DN] = appendNew(needs[c.DN], attributeName, c.read())
	}
	return needs
}

// Needs are the attributes of each object, by distinguished name, that NewRollback
// has to know as they are now.
func (b *Baseline) Needs() map[string][]string {
	needs := map[string][]string{}
	for _, o := range b.Objects {
		needs[o.DN] = appendNew(needs[o.DN], attributeName)
		for a := range o.Attributes {
			needs[o.DN] = appendNew(needs[o.DN], a)
		}
	}
	for _, dn := range b.Created {
		needs[dn] = appendNew(needs[dn], attributeName, directory.AttributeMember)
	}
	return needs
}

func appendNew(list []string, more ...string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// ReadNow reads what Needs asks for. Objects that are not there any more are not in
// the answer. Faults: those of Directory.Read, without directory-object-gone.
func ReadNow(ctx context.Context, d Directory, needs map[string][]string) (map[string]directory.Entry, error) {
	now := make(map[string]directory.Entry, len(needs))
	for dn, attributes := range needs {
		e, err := d.Read(ctx, dn, attributes...)
		switch {
		case fault.Is(err, fault.DirectoryObjectGone):
		case err != nil:
			return nil, err
		default:
			now[dn] = e
		}
	}
	return now, nil
}

// lookup finds an object whatever the case of its name.
func lookup(now map[string]directory.Entry, dn string) (directory.Entry, bool) {
	if e, found := now[dn]; found {
		return e, true
	}
	for name, e := range now {
		if strings.EqualFold(name, dn) {
			return e, true
		}
	}
	return directory.Entry{}, false
}

// read is the attribute that has to be read before the change; of a group that is to
// be removed, its members.
func (c Change) read() string {
	if c.Attribute == "" {
		return directory.AttributeMember
	}
	return c.Attribute
}
