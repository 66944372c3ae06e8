package audit

import (
	"fmt"
	"strings"
	"time"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
)

const protectedUsers = "Protected Users"

// checkOperators looks at everybody who moves VMs by this policy.
func (c *checker) checkOperators() {
	accounts, unknown := c.index.operators(c.policy.Operators)
	for _, name := range unknown {
		x := finding.New(severities[fault.OperatorNotInDirectory], name,
			fault.New(fault.OperatorNotInDirectory, "", "domain", c.snap.Root.Domain, "name", name))
		x.Evidence = fmt.Sprintf("read from %s at %s", c.snap.Root.Server, c.snap.Time.UTC().Format(time.RFC3339))
		c.found = append(c.found, x)
	}
	for _, a := range accounts {
		if a.Hidden {
			c.report(a, fault.New(fault.OperatorHidden, "", "object", a.Name), func(x *finding.Finding) {
				x.Attribute, x.Fix = directory.AttributeFlags, drover("drover delegation audit --policy FILE --simple-bind USER")
			})
		}
		if a.Disabled() {
			c.report(a, fault.New(fault.OperatorDisabled, "", "object", a.Name), func(x *finding.Finding) {
				x.Attribute, x.Values = directory.AttributeFlags, []string{"ACCOUNTDISABLE"}
				x.Fix, x.Undo = c.cmd.Enabled(a.Name, true), c.cmd.Enabled(a.Name, false)
			})
		}
		if a.Sensitive() {
			c.report(a, fault.New(fault.OperatorSensitive, "", "operator", a.Name, "reason",
				`the account is marked "sensitive and cannot be delegated" (NOT_DELEGATED in userAccountControl)`), func(x *finding.Finding) {
				x.Attribute, x.Values = directory.AttributeFlags, []string{"NOT_DELEGATED"}
				x.Fix, x.Undo = c.cmd.Sensitive(a.Name, false), c.cmd.Sensitive(a.Name, true)
			})
		}
		if a.Protected {
			c.report(a, fault.New(fault.OperatorSensitive, "", "operator", a.Name, "reason", "the account is a member of Protected Users"), func(x *finding.Finding) {
				x.Attribute, x.Values = "memberOf", []string{protectedUsers}
				x.Fix, x.Undo = c.cmd.Member(protectedUsers, a.Name, false), c.cmd.Member(protectedUsers, a.Name, true)
			})
		}
	}
}

// operators are the accounts that names of users and groups stand for, members of
// members included, each once; unknown are names that stand for nothing.
func (x *index) operators(names []string) (accounts []*directory.Account, unknown []string) {
	seenAccount, seenGroup := map[*directory.Account]bool{}, map[*directory.Group]bool{}
	var groups []*directory.Group
	take := func(name string) bool {
		if g := x.groups[strings.ToLower(name)]; g != nil {
			if !seenGroup[g] {
				seenGroup[g] = true
				groups = append(groups, g)
			}
			return true
		}
		a := x.operator(name)
		if a != nil && !seenAccount[a] {
			seenAccount[a] = true
			accounts = append(accounts, a)
		}
		return a != nil
	}
	for _, name := range names {
		if !take(operatorName(name)) {
			unknown = append(unknown, name)
		}
	}
	for len(groups) > 0 {
		g := groups[0]
		groups = groups[1:]
		for _, dn := range g.Members {
			take(dn) // a contact or a foreign principal is neither
		}
	}
	return accounts, unknown
}
