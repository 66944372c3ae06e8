package directory

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// maxValues of one attribute, which is more than any group has.
const maxValues = 5_000_000

// complete reads what is left of attributes of which the controller gave a part,
// "member;range=0-1499" (range retrieval, MS-ADTS 3.1.1.3.1.3.3), and takes the
// option off their names.
func (c *Conn) complete(e *ldap.Entry) error {
	parts := map[string]bool{}
	for _, a := range e.Attributes {
		name, last, part, err := parseRange(a.Name)
		if err != nil {
			return err
		}
		if !part {
			continue
		}
		a.Name, parts[strings.ToLower(name)] = name, true
		if last >= 0 {
			if err := c.completeAttribute(e.DN, a, last); err != nil {
				return fmt.Errorf("read all of %s: %w", name, err)
			}
		}
	}
	if len(parts) > 0 { // Windows gives "member" without values beside a part of it
		e.Attributes = slices.DeleteFunc(e.Attributes, func(a *ldap.EntryAttribute) bool {
			return len(a.ByteValues) == 0 && parts[strings.ToLower(a.Name)]
		})
	}
	return nil
}

// completeAttribute appends the values after last to a.
func (c *Conn) completeAttribute(dn string, a *ldap.EntryAttribute, last int) error {
	for last >= 0 {
		from := last + 1
		r, err := c.ldap.Search(object(dn, fmt.Sprintf("%s;range=%d-*", a.Name, from)))
		if err != nil {
			return err
		}
		if len(r.Entries) != 1 {
			return fmt.Errorf("%s: %w", dn, errNoObject)
		}
		next := -1
		for _, b := range r.Entries[0].Attributes {
			name, to, part, err := parseRange(b.Name)
			if err != nil {
				return err
			}
			if !part || !strings.EqualFold(name, a.Name) {
				continue
			}
			if to >= 0 && to < from {
				return fmt.Errorf("the controller answers with the range up to %d again", to)
			}
			next = to
			a.Values, a.ByteValues = append(a.Values, b.Values...), append(a.ByteValues, b.ByteValues...)
		}
		if last = next; len(a.ByteValues) > maxValues {
			return fmt.Errorf("more than %d values", maxValues)
		}
	}
	return nil
}

// parseRange takes "member;range=0-1499" apart: the name, and the number of the
// last value, -1 for "*", after which there are none.
func parseRange(attribute string) (name string, last int, part bool, err error) {
	name, option, found := strings.Cut(attribute, ";")
	bounds, isRange := strings.CutPrefix(strings.ToLower(option), "range=")
	if !found || !isRange {
		return attribute, -1, false, nil
	}
	_, to, found := strings.Cut(bounds, "-")
	if to == "*" {
		return name, -1, true, nil
	}
	last, err = strconv.Atoi(to)
	if err != nil || !found || last < 0 || last > maxValues {
		return "", 0, false, fmt.Errorf("malformed range in %q", attribute)
	}
	return name, last, true, nil
}
