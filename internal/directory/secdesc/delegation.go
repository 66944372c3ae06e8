package secdesc

import (
	"errors"
	"fmt"
	"slices"
)

// ErrDenied is in the error of Merge when an account that is to be added would
// still be denied by an entry of the descriptor, which Merge does not take away.
var ErrDenied = errors.New("an entry of the descriptor denies it")

// Trustees gives the SIDs that a value of msDS-AllowedToActOnBehalfOfOtherIdentity
// ([MS-ADA2] 2.218) lets act on behalf of others towards its object, in the order
// of their entries; none for an empty b.
//
// [MS-SFU] 3.2.5.2.3 asks for "an access check" and names no right. Windows writes
// full control (0xF01FF), and so does Samba; the right that is checked is
// ControlAccess (0x100) alone: so it was seen on Samba 4.22, whose source says
// the same of Windows (samba_kdc_check_s4u2proxy_rbcd). So an entry counts that
// allows 0x100 and has no object type, and an earlier one for the same SID, or
// for everybody, that denies it takes it away. GENERIC_ALL does not allow, since
// Samba does not map it, and is taken to deny, since Windows may. A descriptor
// without a DACL gives Everyone, though Samba lets nobody act when the control
// flags do not announce one. Conditional entries and memberships are not looked
// into.
func Trustees(b []byte) ([]SID, error) {
	if len(b) == 0 {
		return nil, nil
	}
	d, err := Parse(b)
	if err != nil {
		return nil, err
	}
	return d.granted(mayAct), nil
}

// Merge gives the value of msDS-AllowedToActOnBehalfOfOtherIdentity that lets
// the accounts of add act, and does not let those of remove act, by entries of
// their own.
//
// An account that b already lets act is not added again. The others get an entry
// (A;;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;SID) after the last that is not inherited, so
// that entries which deny stay in front. Taken away are the entries that allow
// exactly an account of remove the right that Trustees describes, and no other
// entry, so that its groups may still let it act. Everything else stays byte for
// byte: entries, owner, group, control flags, SACL.
//
// Without a DACL, b lets everybody act: add then makes a DACL, which ends that,
// and so does Everyone in remove.
//
// When nothing changes, the result is b itself. A nil or empty b stands for no
// value; a nil result with a b that had one says that no entry is left and the
// attribute is to be deleted.
func Merge(b []byte, add, remove []SID) ([]byte, error) {
	if err := checkSIDs(add, remove); err != nil {
		return nil, err
	}
	d := newDelegation()
	if len(b) > 0 {
		var err error
		if d, err = Parse(b); err != nil {
			return nil, err
		}
	}
	changed := d.drop(remove)
	for _, s := range add {
		if d.isTrustee(s) {
			continue
		}
		if err := d.add(s); err != nil {
			return nil, err
		}
		changed = true
	}
	switch {
	case !changed:
		return b, nil
	case d.empty():
		return nil, nil
	}
	return d.Bytes()
}

func checkSIDs(add, remove []SID) error {
	for _, s := range slices.Concat(add, remove) {
		if _, err := s.Bytes(); err != nil {
			return err
		}
	}
	for _, s := range add {
		if slices.Contains(remove, s) {
			return fmt.Errorf("%s is both to be added and to be removed", s)
		}
	}
	return nil
}

// newDelegation is "O:BAD:", what Set-ADComputer and samba-tool begin with.
func newDelegation() *Descriptor {
	return &Descriptor{
		revision: 1, control: controlSelfRelative | controlDACLPresent,
		owner: administrators, dacl: &acl{revision: 2}, order: []part{partOwner, partDACL},
	}
}

// drop takes away what lets the accounts act, and says whether there was any.
func (d *Descriptor) drop(accounts []SID) bool {
	if d.dacl == nil {
		if !slices.Contains(accounts, Everyone) {
			return false
		}
		d.makeDACL()
		return true
	}
	before := len(d.dacl.aces)
	d.dacl.aces = slices.DeleteFunc(d.dacl.aces, func(a ACE) bool {
		return a.Flags&FlagInheritOnly == 0 && mayAct(a) == allows && slices.Contains(accounts, a.SID)
	})
	return len(d.dacl.aces) != before
}

func (d *Descriptor) add(s SID) error {
	if d.dacl == nil {
		d.makeDACL()
	}
	entry, err := allow(s, RightFullControl)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(d.dacl.aces, func(a ACE) bool { return a.Flags&FlagInherited != 0 })
	if at < 0 {
		at = len(d.dacl.aces)
	}
	d.dacl.aces = slices.Insert(d.dacl.aces, at, entry)
	if !d.isTrustee(s) {
		return fmt.Errorf("%s cannot be allowed to act: %w", s, ErrDenied)
	}
	return nil
}

func (d *Descriptor) makeDACL() {
	d.dacl = &acl{revision: 2}
	d.control |= controlDACLPresent
	d.order = append(d.order, partDACL)
}

func (d *Descriptor) empty() bool {
	return len(d.dacl.aces) == 0 && (d.sacl == nil || len(d.sacl.aces) == 0)
}
