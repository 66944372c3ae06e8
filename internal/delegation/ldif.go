package delegation

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"drover/internal/directory"
	"drover/internal/directory/ldif"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
)

// Keys of the comments of a baseline: above the first record what the whole was
// taken from, above each record what its object was, and a count at the end, by
// which a file that was cut off is recognised.
const (
	baselineTitle = "Drover baseline 1"
	keyDomain     = "domain"
	keyDomainSID  = "domain-sid"
	keyServer     = "server"
	keyTime       = "time"
	keyHighestUSN = "highest-usn"
	keyAccount    = "account"
	keyGUID       = "guid"
	keyUSN        = "usn"
	keyEnd        = "end"
)

// WriteLDIF writes the baseline as LDIF change records (RFC 2849) that put it back,
// for ldapmodify as well as for ReadBaseline, with what it was taken from in
// comments above. The records replace whole attributes: userAccountControl, for
// example, with all its flags, where NewRollback is more careful. What ReadBaseline
// would not read, because there is too much of it, is not written.
func (b *Baseline) WriteLDIF(w io.Writer) error {
	w = &bounded{w, ldif.MaxSize}
	header := []string{
		baselineTitle,
		keyDomain + ": " + b.BaseDN,
		keyDomainSID + ": " + b.SID,
		keyServer + ": " + b.Server,
		keyTime + ": " + b.Time.UTC().Format(time.RFC3339Nano),
		keyHighestUSN + ": " + strconv.FormatInt(b.USN, 10),
		"",
	}
	var records []ldif.Record
	for _, o := range b.Objects {
		records = append(records, o.record())
	}
	for _, dn := range b.Created {
		records = append(records, ldif.Record{DN: dn, Change: ldif.Delete})
	}
	end := fmt.Sprintf("%s: %d objects", keyEnd, len(records))
	if len(records) == 0 {
		return ldif.Write(w, nil, append(header, end)...)
	}
	records[0].Comments = append(header, records[0].Comments...)
	return ldif.Write(w, records, end)
}

// bounded passes left bytes on.
type bounded struct {
	w    io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, fmt.Errorf("the old values are more than %d MiB, which would not be read again; plan for fewer hosts at a time", ldif.MaxSize>>20)
	}
	return b.w.Write(p)
}

func (o Object) record() ldif.Record {
	r := ldif.Record{DN: o.DN, Change: ldif.Modify, Comments: []string{
		keyAccount + ": " + o.Account,
		keyGUID + ": " + o.GUID,
		keyUSN + ": " + strconv.FormatInt(o.USN, 10),
	}}
	for _, a := range slices.Sorted(maps.Keys(o.Attributes)) {
		r.Mods = append(r.Mods, directory.Mod{Op: directory.Replace, Attribute: a, Values: o.Attributes[a]})
	}
	return r
}

// ReadBaseline reads what WriteLDIF wrote. Faults: baseline-malformed.
func ReadBaseline(r io.Reader) (*Baseline, error) {
	b, err := readBaseline(r)
	if err != nil {
		return nil, fault.Wrap(err, fault.BaselineMalformed, "", "name", nameOf(r), "reason", err.Error())
	}
	return b, nil
}

// nameOf is a file's name, for messages.
func nameOf(r io.Reader) string {
	if f, ok := r.(interface{ Name() string }); ok {
		return f.Name()
	}
	return "the input"
}

func readBaseline(r io.Reader) (*Baseline, error) {
	records, trailing, err := ldif.Read(r)
	if err != nil {
		return nil, err
	}
	header := trailing
	if len(records) > 0 {
		header = records[0].Comments
	}
	if !slices.Contains(header, baselineTitle) {
		return nil, fmt.Errorf("the line \"# %s\" is missing", baselineTitle)
	}
	if end := comments(trailing)[keyEnd]; end != fmt.Sprintf("%d objects", len(records)) {
		return nil, fmt.Errorf("it was cut off or changed: it has %d records, and its last line says %q", len(records), end)
	}
	b := &Baseline{}
	if err := b.readHeader(comments(header)); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, rec := range records {
		if dn := strings.ToLower(rec.DN); dn == "" || seen[dn] {
			return nil, fmt.Errorf("the object %q is in it twice, or has no name", rec.DN)
		} else {
			seen[dn] = true
		}
		if err := b.readRecord(rec); err != nil {
			return nil, fmt.Errorf("%s: %w", rec.DN, err)
		}
	}
	return b, nil
}

// comments are the "key: value" ones.
func comments(lines []string) map[string]string {
	m := map[string]string{}
	for _, l := range lines {
		if k, v, found := strings.Cut(l, ": "); found {
			m[k] = v
		}
	}
	return m
}

func (b *Baseline) readHeader(m map[string]string) (err error) {
	b.BaseDN, b.SID, b.Server = m[keyDomain], m[keyDomainSID], m[keyServer]
	if b.BaseDN == "" {
		return errors.New("it does not say of which domain it is")
	}
	if _, err := secdesc.SID(b.SID).Bytes(); err != nil {
		return fmt.Errorf("%s: %w", keyDomainSID, err)
	}
	if b.Time, err = time.Parse(time.RFC3339Nano, m[keyTime]); err != nil {
		return fmt.Errorf("%s: %w", keyTime, err)
	}
	if b.USN, err = strconv.ParseInt(m[keyHighestUSN], 10, 64); err != nil {
		return fmt.Errorf("%s: %w", keyHighestUSN, err)
	}
	return nil
}

func (b *Baseline) readRecord(rec ldif.Record) error {
	if rec.Change == ldif.Delete {
		b.Created = append(b.Created, rec.DN)
		return nil
	}
	if rec.Change != ldif.Modify {
		return fmt.Errorf("change type %q", rec.Change)
	}
	m := comments(rec.Comments)
	o := Object{DN: rec.DN, Account: m[keyAccount], GUID: m[keyGUID], Attributes: map[string][][]byte{}}
	if o.Account == "" {
		return errors.New("its account is missing")
	}
	var err error
	if o.USN, err = strconv.ParseInt(m[keyUSN], 10, 64); err != nil {
		return fmt.Errorf("%s: %w", keyUSN, err)
	}
	for _, mod := range rec.Mods {
		if _, twice := o.Attributes[mod.Attribute]; twice || mod.Op != directory.Replace {
			return fmt.Errorf("%s is changed twice, or not by \"replace\"", mod.Attribute)
		}
		if err := checkOld(mod); err != nil {
			return fmt.Errorf("%s: %w", mod.Attribute, err)
		}
		o.Attributes[mod.Attribute] = mod.Values
	}
	b.Objects = append(b.Objects, o)
	return nil
}

// checkOld refuses what a plan never changes and what the attribute cannot hold.
func checkOld(mod directory.Mod) error {
	switch mod.Attribute {
	case directory.AttributeDelegateTo, directory.AttributeMember:
		for _, v := range mod.Values {
			if len(v) == 0 || !utf8.Valid(v) {
				return fmt.Errorf("%q is not text", v)
			}
		}
		return nil
	case directory.AttributeFlags:
		_, err := parseFlags(mod.Values)
		return err
	case directory.AttributeActOnBehalf:
		if len(mod.Values) > 1 {
			return errors.New("it has more than one value")
		}
		for _, v := range mod.Values {
			if _, err := secdesc.Parse(v); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New("no plan changes this attribute")
}
