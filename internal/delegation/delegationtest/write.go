package delegationtest

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"drover/internal/directory"
	"drover/internal/fault"
)

// singleValued are the attributes that hold one value at most.
var singleValued = []string{"useraccountcontrol", "msds-allowedtoactonbehalfofotheridentity"}

// Modify changes one object, all or nothing.
func (d *Directory) Modify(ctx context.Context, dn string, mods ...directory.Mod) error {
	if err := d.begin(ctx, "modify", dn); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.objects[strings.ToLower(dn)]
	if o == nil {
		return gone(dn)
	}
	o = o.clone()
	for _, m := range mods {
		if err := d.modify(o, m); err != nil {
			return err
		}
	}
	for _, a := range singleValued {
		if len(o.values[a]) > 1 {
			return changed(a, dn, "it holds one value only")
		}
	}
	d.usn++
	o.usn = d.usn
	d.objects[strings.ToLower(dn)] = o
	return nil
}

func (d *Directory) modify(o *object, m directory.Mod) error {
	a := strings.ToLower(m.Attribute)
	switch m.Op {
	case directory.Replace:
		o.values[a] = slices.Clone(m.Values)
	case directory.Add:
		for _, v := range m.Values {
			if index(o, a, v) >= 0 {
				return changed(m.Attribute, o.dn, "attributeOrValueExists")
			}
			if a == "member" && d.objects[strings.ToLower(string(v))] == nil {
				return gone(string(v))
			}
			o.values[a] = append(o.values[a], bytes.Clone(v))
		}
	case directory.Delete:
		if len(o.values[a]) == 0 {
			return changed(m.Attribute, o.dn, "noSuchAttribute")
		}
		for _, v := range m.Values {
			i := index(o, a, v)
			if i < 0 {
				return changed(m.Attribute, o.dn, "noSuchAttribute")
			}
			o.values[a] = slices.Delete(o.values[a], i, i+1)
		}
		if len(m.Values) == 0 {
			o.values[a] = nil
		}
	}
	if len(o.values[a]) == 0 {
		delete(o.values, a)
	}
	return nil
}

// index finds a value: descriptors byte by byte, everything else as text without
// regard to case.
func index(o *object, attribute string, value []byte) int {
	return slices.IndexFunc(o.values[attribute], func(v []byte) bool {
		if attribute == "msds-allowedtoactonbehalfofotheridentity" {
			return bytes.Equal(v, value)
		}
		return strings.EqualFold(string(v), string(value))
	})
}

func changed(attribute, dn, reason string) error {
	return fault.New(fault.DirectoryChanged, "", "attribute", attribute, "object", dn, "reason", reason)
}

// AddGroup creates a group.
func (d *Directory) AddGroup(ctx context.Context, g directory.NewGroup) error {
	if err := d.begin(ctx, "add", g.DN); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	refused := func(reason string) error {
		return fault.New(fault.DirectoryFailed, "", "server", d.root.Server, "object", g.DN, "reason", reason)
	}
	if d.objects[strings.ToLower(g.DN)] != nil {
		return refused("entryAlreadyExists")
	}
	for _, m := range g.Members {
		if d.objects[strings.ToLower(m)] == nil {
			return gone(m)
		}
	}
	attributes := map[string][]string{"objectClass": {"group"}, "sAMAccountName": {g.Name}, "member": g.Members}
	if g.Description != "" {
		attributes["description"] = []string{g.Description}
	}
	d.create(g.DN, attributes)
	return nil
}

// DeleteObject removes an object, and its name from the groups that it is in.
func (d *Directory) DeleteObject(ctx context.Context, dn string) error {
	if err := d.begin(ctx, "delete", dn); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.objects[strings.ToLower(dn)] == nil {
		return gone(dn)
	}
	delete(d.objects, strings.ToLower(dn))
	d.usn++
	for _, o := range d.objects {
		if i := index(o, "member", []byte(dn)); i >= 0 {
			o.values["member"] = slices.Delete(o.values["member"], i, i+1)
		}
	}
	return nil
}
