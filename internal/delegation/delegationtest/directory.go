// Package delegationtest is a directory in memory for tests, and what every
// directory that package delegation works on has to do.
package delegationtest

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"drover/internal/directory"
	"drover/internal/fault"
)

// DomainSID is the domain's of New.
const DomainSID = "S-1-5-21-1111111111-2222222222-3333333333"

// Request is one call of a Directory.
type Request struct {
	Op string // "root", "usn", "read", "groups", "modify", "add", "delete"
	N  int    // how many requests of this kind there were, this one included
	DN string // "" where the request is about no single object
}

// Directory behaves like an Active Directory controller towards
// delegation.Apply: attribute names and values of lists are compared without regard
// to case, a request is carried out wholly or not at all, each one raises the USN.
type Directory struct {
	// Before is asked before every request; its error is the answer. It may change the
	// directory, as somebody else would. It must be set before the first request.
	Before func(Request) error

	mu   sync.Mutex
	root directory.Root
	// NoDescriptors is Samba's way over the network: nobody may write the descriptors of
	// resource-based delegation.
	NoDescriptors bool
	objects       map[string]*object // by distinguished name, lower case
	counts        map[string]int
	usn           int64
	rid           int
}

type object struct {
	dn     string
	guid   string
	usn    int64
	values map[string][][]byte // by attribute, lower case
}

func (o *object) clone() *object {
	c := *o
	c.values = make(map[string][][]byte, len(o.values))
	for a, list := range o.values {
		c.values[a] = slices.Clone(list)
	}
	return &c
}

// New is the empty domain DC=lab,DC=test of a controller of this kind.
func New(kind directory.Controller) *Directory {
	return &Directory{
		root: directory.Root{Server: "dc1.lab.test", Kind: kind, BaseDN: "DC=lab,DC=test", Domain: "lab.test",
			DomainSID: DomainSID, NetBIOS: "LAB", Controllers: 2},
		objects: map[string]*object{}, counts: map[string]int{}, usn: 5000, rid: 1100,
	}
}

// Unreachable is what a controller that went away answers.
func Unreachable() error {
	return fault.New(fault.DirectoryUnreachable, "", "domain", "lab.test", "reason", "connection refused")
}

// AddComputer adds the account NAME$ and gives its distinguished name and SID.
func (d *Directory) AddComputer(name string) (dn, sid string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dn = "CN=" + name + ",CN=Computers," + d.root.BaseDN
	sid = d.create(dn, map[string][]string{"objectClass": {"computer"}, "sAMAccountName": {name + "$"}, "userAccountControl": {"4096"}})
	return dn, sid
}

// create makes an object with a SID of its own.
func (d *Directory) create(dn string, attributes map[string][]string) (sid string) {
	d.usn++
	d.rid++
	sid = fmt.Sprintf("%s-%d", d.root.DomainSID, d.rid)
	o := &object{dn: dn, guid: fmt.Sprintf("00000000-0000-0000-0000-%012d", d.rid), usn: d.usn, values: map[string][][]byte{"objectsid": {[]byte(sid)}}}
	for a, list := range attributes {
		for _, v := range list {
			o.values[strings.ToLower(a)] = append(o.values[strings.ToLower(a)], []byte(v))
		}
	}
	d.objects[strings.ToLower(dn)] = o
	return sid
}

// Set makes values the only ones of an attribute, whatever the rules are.
func (d *Directory) Set(dn, attribute string, values ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.objects[strings.ToLower(dn)]
	d.usn++
	o.usn = d.usn
	delete(o.values, strings.ToLower(attribute))
	for _, v := range values {
		o.values[strings.ToLower(attribute)] = append(o.values[strings.ToLower(attribute)], []byte(v))
	}
}

// Get gives an attribute's values, sorted.
func (d *Directory) Get(dn, attribute string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	if o := d.objects[strings.ToLower(dn)]; o != nil {
		for _, v := range o.values[strings.ToLower(attribute)] {
			out = append(out, string(v))
		}
	}
	slices.Sort(out)
	return out
}

// Drop removes an object.
func (d *Directory) Drop(dn string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.objects, strings.ToLower(dn))
}

// SetRoot changes what the controller says of itself, as if another one had been
// asked.
func (d *Directory) SetRoot(change func(*directory.Root)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.root)
}

// Count says how many requests of a kind there were.
func (d *Directory) Count(op string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts[op]
}

// Snapshot writes down every attribute of every object, but not their USNs. Two are
// alike when the directory is, byte by byte.
func (d *Directory) Snapshot() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, dn := range slices.Sorted(maps.Keys(d.objects)) {
		o := d.objects[dn]
		fmt.Fprintf(&b, "%s %s\n", o.dn, o.guid)
		for _, a := range slices.Sorted(maps.Keys(o.values)) {
			var list []string
			for _, v := range o.values[a] {
				list = append(list, hex.EncodeToString(v)+fmt.Sprintf(" %q", v))
			}
			slices.Sort(list)
			fmt.Fprintf(&b, "  %s %s\n", a, strings.Join(list, " "))
		}
	}
	return b.String()
}

// begin counts a request and asks Before.
func (d *Directory) begin(ctx context.Context, op, dn string) error {
	d.mu.Lock()
	d.counts[op]++
	n := d.counts[op]
	d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.Before == nil {
		return nil
	}
	return d.Before(Request{op, n, dn})
}

// Root implements delegation.Directory, as the other methods do.
func (d *Directory) Root(ctx context.Context) (directory.Root, error) {
	if err := d.begin(ctx, "root", ""); err != nil {
		return directory.Root{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.root, nil
}

// HighestUSN is the USN of the last change.
func (d *Directory) HighestUSN(ctx context.Context) (int64, error) {
	if err := d.begin(ctx, "usn", ""); err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.usn, nil
}

// Read reads one object.
func (d *Directory) Read(ctx context.Context, dn string, attributes ...string) (directory.Entry, error) {
	if err := d.begin(ctx, "read", dn); err != nil {
		return directory.Entry{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.objects[strings.ToLower(dn)]
	if o == nil {
		return directory.Entry{}, gone(dn)
	}
	e := directory.Entry{DN: o.dn, GUID: o.guid, USN: o.usn, Attributes: map[string][][]byte{}}
	for _, a := range attributes {
		if v := o.values[strings.ToLower(a)]; len(v) > 0 {
			e.Attributes[a] = slices.Clone(v)
		}
	}
	if slices.Contains(attributes, "allowedAttributesEffective") && !d.NoDescriptors {
		e.Attributes["allowedAttributesEffective"] = [][]byte{[]byte(directory.AttributeActOnBehalf)}
	}
	return e, nil
}

func gone(dn string) error { return fault.New(fault.DirectoryObjectGone, "", "object", dn) }

// Groups finds groups by name, distinguished name or SID.
func (d *Directory) Groups(ctx context.Context, names ...string) ([]directory.Group, error) {
	if err := d.begin(ctx, "groups", ""); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []directory.Group
	for _, o := range d.objects {
		g := directory.Group{DN: o.dn, Name: first(o, "samaccountname"), SID: first(o, "objectsid"), USN: o.usn}
		named := slices.ContainsFunc(names, func(n string) bool {
			return strings.EqualFold(n, g.DN) || strings.EqualFold(n, g.Name) || n == g.SID
		})
		if first(o, "objectclass") != "group" || !named {
			continue
		}
		for _, m := range o.values["member"] {
			g.Members = append(g.Members, string(m))
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b directory.Group) int { return cmp.Compare(a.DN, b.DN) })
	return out, nil
}

func first(o *object, attribute string) string {
	if v := o.values[attribute]; len(v) > 0 {
		return string(v[0])
	}
	return ""
}
