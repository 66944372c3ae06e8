package secdesc

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func FuzzDescriptor(f *testing.F) {
	for _, v := range []string{sambaOne, sambaEmpty, sambaNoDACL, sambaRich} {
		f.Add(unhex(f, v), uint16(1105))
	}
	for _, b := range samples(f) {
		f.Add(b, uint16(512))
	}
	for i, line := range lines(f, "testdata/access.txt") {
		value, _, _ := bytes.Cut([]byte(line), []byte(" "))
		f.Add(unhex(f, string(value)), uint16(1104+i%3))
	}
	f.Fuzz(func(t *testing.T, b []byte, rid uint16) {
		before := bytes.Clone(b)
		d, err := Parse(b)
		if err != nil {
			if got, err := Merge(b, []SID{account(int(rid))}, nil); len(b) > 0 && (err == nil || got != nil) {
				t.Fatalf("a broken value was replaced: %x", got)
			}
			return
		}
		checkStable(t, d)
		d.Writers(GUID{1}, &GUID{2})
		checkAddRemove(t, d, b, account(int(rid)))
		checkRemove(t, d, b)
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
	})
}

// checkStable writes d, reads it and writes it again.
func checkStable(t *testing.T, d *Descriptor) {
	once, err := d.Bytes()
	if err != nil {
		if len(once) != 0 {
			t.Fatal("bytes beside an error")
		}
		return
	}
	again := parse(t, once)
	twice, err := again.Bytes()
	if err != nil || !bytes.Equal(once, twice) || len(once) > MaxSize {
		t.Fatalf("%v\n%x\n%x", err, once, twice)
	}
	if d.SDDL() != again.SDDL() {
		t.Fatalf("%s\n%s", d.SDDL(), again.SDDL())
	}
}

// checkAddRemove adds an account that b does not name and takes it away again.
func checkAddRemove(t *testing.T, d *Descriptor, b []byte, s SID) {
	named := slices.ContainsFunc(d.ACEs(), func(a ACE) bool { return a.SID == s })
	if d.dacl == nil || named {
		return
	}
	with, err := Merge(b, []SID{s}, nil)
	if errors.Is(err, ErrDenied) || err != nil && len(b) > 60000 {
		return
	}
	if err != nil || len(with) > len(b)+128 {
		t.Fatalf("%d bytes of %d, %v", len(with), len(b), err)
	}
	added := parse(t, with)
	if !added.isTrustee(s) || !slices.Equal(raws(d, s), raws(added, s)) {
		t.Fatalf("%s\n%s", d.SDDL(), added.SDDL())
	}
	if again, err := Merge(with, []SID{s}, nil); err != nil || &again[0] != &with[0] {
		t.Fatalf("added twice: %v", err)
	}
	without, err := Merge(with, nil, []SID{s})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Trustees(without)
	if want := d.granted(mayAct); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v, want %v", got, err, want)
	}
}

// raws are the entries of the DACL that are not for s.
func raws(d *Descriptor, s SID) (out []string) {
	for _, a := range d.ACEs() {
		if a.SID != s {
			out = append(out, string(a.raw))
		}
	}
	return out
}

// checkRemove takes away the first that may act, and nobody else.
func checkRemove(t *testing.T, d *Descriptor, b []byte) {
	all := d.granted(mayAct)
	if d.dacl == nil || len(all) == 0 {
		return
	}
	after, err := Merge(b, nil, all[:1])
	if err != nil {
		if len(b) > 60000 {
			return
		}
		t.Fatal(err)
	}
	if got, err := Trustees(after); err != nil || !slices.Equal(got, all[1:]) {
		t.Fatalf("%v, %v, want %v", got, err, all[1:])
	}
}
