package secdesc

import "slices"

// granted goes through the DACL as an access check does ([MS-DTYP] 2.5.3.2),
// once for every SID in it, and gives those to which an entry that allows comes
// before one that denies, in the order of their entries. effect says what an
// entry does to the right in question.
//
// It knows no memberships: a group is one SID of its own, and a member may be
// denied by an entry for another of its groups. An entry that denies everybody
// ends the list.
func (d *Descriptor) granted(effect func(ACE) effect) []SID {
	if d.dacl == nil {
		return []SID{Everyone}
	}
	var allowed []SID
	decided := map[SID]bool{}
	for _, a := range d.dacl.aces {
		if a.Flags&FlagInheritOnly != 0 {
			continue
		}
		switch effect(a) {
		case allows:
			if !decided[a.SID] {
				allowed = append(allowed, a.SID)
			}
			decided[a.SID] = true
		case denies:
			if a.SID == Everyone || a.SID == AuthenticatedUsers {
				return allowed
			}
			decided[a.SID] = true
		}
	}
	return allowed
}

type effect int

const (
	none effect = iota
	allows
	denies
)

// Writers gives the SIDs that may write the attribute of the object whose
// nTSecurityDescriptor this is: WriteProperty ([MS-ADTS] 5.1.3.2) for all
// properties, for the attribute (by its schemaIDGUID) or for its property set
// (its attributeSecurityGUID, nil when it has none), or a generic right that
// contains it, not denied before. Everyone is the answer when there is no DACL.
//
// Not among them are those who could give themselves the right (the owner, and
// holders of WriteDACL or WriteOwner), those who may only make validated writes
// (SELF, S-1-5-10, for service names), and holders by a conditional entry.
func (d *Descriptor) Writers(attribute GUID, propertySet *GUID) []SID {
	const rights = RightWriteProperty | RightGenericAll | RightGenericWrite
	return d.granted(func(a ACE) effect {
		if a.Mask&rights == 0 {
			return none
		}
		meant := a.ObjectType == nil || *a.ObjectType == attribute ||
			propertySet != nil && *a.ObjectType == *propertySet
		switch {
		case a.Type == TypeAllow, a.Type == TypeAllowObject && meant:
			return allows
		case a.Type == TypeDeny, a.Type == TypeDenyObject && meant:
			return denies
		}
		return none
	})
}

// mayAct is what an entry does to the one right that a KDC asks for in
// msDS-AllowedToActOnBehalfOfOtherIdentity: see Trustees.
func mayAct(a ACE) effect {
	switch {
	case a.Type == TypeAllow && a.Mask&RightControlAccess != 0:
		return allows
	case a.Type == TypeDeny && a.Mask&(RightControlAccess|RightGenericAll) != 0:
		return denies
	}
	return none
}

// isTrustee says whether an entry lets s act. An absent DACL, which lets everybody
// act, names nobody.
func (d *Descriptor) isTrustee(s SID) bool {
	return d.dacl != nil && slices.Contains(d.granted(mayAct), s)
}
