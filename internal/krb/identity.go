package krb

import (
	"slices"
	"strings"
	"time"

	"drover/internal/spn"
)

// How an operator had signed in (Identity.SignIn).
const (
	// SignInOwn: with own credentials at the KDC (SID S-1-18-1).
	SignInOwn = "own-credentials"
	// SignInAsserted: a service vouched for the operator by protocol transition
	// (SID S-1-18-2).
	SignInAsserted = "service-asserted"
)

const (
	sidOwnCredentials  = "S-1-18-1"
	sidServiceAsserted = "S-1-18-2"
)

// Identity is what an accepted ticket and its signed PAC say about the peer.
type Identity struct {
	Principal string   // "operator@LAB.DROVER.TEST", from the ticket
	Realm     string   // from the ticket
	UserSID   string   // from the PAC
	Groups    []string // SIDs from the PAC: groups, primary group, extra SIDs, resource groups
	SignIn    string   // SignInOwn, SignInAsserted or "" when the PAC does not say

	Delegated bool // by constrained delegation
	// DelegatedBy is the principal that delegated, as the KDC wrote it: the name on
	// the evidence. After protocol transition that is the account,
	// "HV01$@LAB.DROVER.TEST"; else the service name that the operator had called,
	// "Microsoft Virtual System Migration Service/hv01.lab.drover.test@LAB.DROVER.TEST".
	// The KDC has checked that it is a name of the delegating account.
	DelegatedBy string
	// ProxyTarget is the service name that the delegating host asked for, without
	// Samba's escapes. Unlike the name on the ticket the KDC has signed it.
	ProxyTarget string

	Forwardable bool // so it can serve as evidence
	Expires     time.Time
}

// Member reports whether the identity has sid, as user or as group.
func (i Identity) Member(sid string) bool {
	return sid != "" && (i.UserSID == sid || slices.Contains(i.Groups, sid))
}

// DelegatingHost is the short name of the host that delegated, "HV01", "" when
// nobody did.
func (i Identity) DelegatingHost() string {
	if !i.Delegated {
		return ""
	}
	name := spn.Plain(i.DelegatedBy)
	if _, host, ok := strings.Cut(name, "/"); ok {
		name, _, _ = strings.Cut(host, "/")
		name, _, _ = strings.Cut(name, ".")
	}
	return strings.ToUpper(strings.TrimSuffix(name, "$"))
}

// SignInSID is the SID in the PAC that SignIn was read from, "" without one: what
// an administrator searches the logs of a domain for.
func (i Identity) SignInSID() string {
	return map[string]string{SignInOwn: sidOwnCredentials, SignInAsserted: sidServiceAsserted}[i.SignIn]
}

func signIn(groups []string) string {
	switch {
	case slices.Contains(groups, sidServiceAsserted):
		return SignInAsserted
	case slices.Contains(groups, sidOwnCredentials):
		return SignInOwn
	}
	return ""
}
