package delegation

import (
	"strconv"

	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
	"drover/internal/finding"
)

// Sizes of msDS-AllowedToActOnBehalfOfOtherIdentity, in bytes. A list of entries
// has a length of 16 bits (MS-DTYP 2.4.5), which includes its own header.
const (
	maxDescriptor = 1<<16 - 1
	entryHeader   = 8 // of an entry for a trustee, before its SID (MS-DTYP 2.4.4.2)
	emptyList     = 8
	sidOfAccount  = 28 // S-1-5-21-A-B-C-RID
)

// MaxTrustees is how many accounts one security descriptor can name.
const MaxTrustees = (maxDescriptor - emptyList) / (entryHeader + sidOfAccount)

// trustees is what one destination's descriptor says.
type trustees struct {
	sids   []string
	broken error // the descriptor cannot be read; nothing is changed then
}

func readTrustees(a directory.Account) trustees {
	sids, err := secdesc.Trustees(a.ActOnBehalf)
	t := trustees{broken: err}
	for _, s := range sids {
		t.sids = append(t.sids, string(s))
	}
	return t
}

// resourceBased plans the security descriptor of every host.
func (b *planner) resourceBased() error {
	bySID, names := b.bySID(), b.trusteeNames()
	n := len(b.hosts)
	// By source, since pairs come in that order and descriptors are by destination.
	present, extra := make([][]bool, n), make([][]bool, n)
	for i := range n {
		present[i], extra[i] = make([]bool, n), make([]bool, n)
	}
	var after []int
	for to, h := range b.hosts {
		t := readTrustees(h.Account)
		var add, surplus []string
		for _, sid := range t.sids {
			from, ours := bySID[sid]
			switch {
			case !ours:
				b.plan.Hosts[to].Other = append(b.plan.Hosts[to].Other, nameOr(names, sid))
				surplus = append(surplus, sid)
			case b.wants(from, to):
				present[from][to] = true
			default:
				extra[from][to] = true
				surplus = append(surplus, sid)
			}
		}
		for from, s := range b.hosts {
			if b.wants(from, to) && !present[from][to] {
				add = append(add, s.SID)
			}
		}
		count, err := b.descriptor(h, t, add, surplus)
		if err != nil {
			return err
		}
		after = append(after, count)
	}
	for from, h := range b.hosts {
		account := []string{h.Name}
		for to := range b.hosts {
			b.pair(from, to, only(present[from][to], account), only(b.wants(from, to) && !present[from][to], account), only(extra[from][to], account))
		}
	}
	b.plan.Cost = resourceCost(b.samba, n, after)
	return nil
}

func only(is bool, values []string) []string {
	if !is {
		return nil
	}
	return values
}

// bySID finds the plan's hosts.
func (b *planner) bySID() map[string]int {
	out := map[string]int{}
	for i, h := range b.hosts {
		out[h.SID] = i
	}
	return out
}

// trusteeNames are account names by SID, as far as they were read.
func (b *planner) trusteeNames() map[string]string {
	out := map[string]string{}
	for _, as := range [][]directory.Account{b.s.Others, b.s.Hosts} {
		for _, a := range as {
			out[a.SID] = a.Name
		}
	}
	if g := b.s.Group; g != nil {
		out[g.SID] = g.Name
	}
	return out
}

func nameOr(names map[string]string, sid string) string {
	if n := names[sid]; n != "" {
		return n
	}
	return sid
}

// descriptor plans one host's descriptor: trustees to add (SIDs, or GroupTrustee)
// and those that only Prune removes. It gives how many there are after the plan.
func (b *planner) descriptor(h host, t trustees, add, surplus []string) (int, error) {
	if t.broken != nil {
		b.unusable(h, t.broken)
		return 0, nil
	}
	c := Change{DN: h.DN, Account: h.Name, Attribute: directory.AttributeActOnBehalf, Add: add, Before: Digest(stored(h.ActOnBehalf))}
	if b.in.Prune {
		c.Delete = surplus
	}
	// Where there is nothing yet, nothing can stand in the way.
	if len(h.ActOnBehalf) > 0 && len(add) > 0 {
		if _, err := secdesc.Merge(h.ActOnBehalf, sids(add), sids(c.Delete)); err != nil {
			b.unusable(h, err)
			return len(t.sids), nil
		}
	}
	count := len(t.sids) + len(add) - len(c.Delete)
	size := max(len(h.ActOnBehalf), emptyList) + (len(add)-len(c.Delete))*(entryHeader+sidOfAccount)
	if size > maxDescriptor && len(add) > 0 {
		return 0, fault.New(fault.DelegationTooLarge, "", "attribute", directory.AttributeActOnBehalf, "object", h.Name,
			"values", strconv.Itoa(count), "limit", strconv.Itoa(MaxTrustees), "hosts", strconv.Itoa(len(b.hosts)))
	}
	b.change(c)
	return count, nil
}

func stored(value []byte) [][]byte {
	if len(value) == 0 {
		return nil
	}
	return [][]byte{value}
}

// sids leaves GroupTrustee out, which has no SID yet.
func sids(values []string) []secdesc.SID {
	var out []secdesc.SID
	for _, v := range values {
		if v != GroupTrustee {
			out = append(out, secdesc.SID(v))
		}
	}
	return out
}

// unusable reports a descriptor to which the plan can add nothing.
func (b *planner) unusable(h host, why error) {
	f := finding.New(finding.Error, h.Name, fault.New(fault.ResourceDelegationUnusable, "",
		"attribute", directory.AttributeActOnBehalf, "account", h.Name, "reason", why.Error()))
	f.DN, f.Attribute, f.Destination = h.DN, directory.AttributeActOnBehalf, h.short
	f.Evidence = strconv.Itoa(len(h.ActOnBehalf)) + " bytes"
	b.plan.Findings = append(b.plan.Findings, f)
}
