package krb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/go-krb5/krb5/types"
)

const (
	maxReferrals = 10 // from realm to realm for one ticket, as MIT has it
	maxRealmLen  = 255
)

// ticketFor is tgsExchange that goes, where w.follow allows it, wherever the
// service is: a KDC that does not hold it answers with a ticket-granting ticket for
// a realm that is nearer to it (RFC 4120 3.3.1, RFC 6806 8, MS-KILE 3.3.5.7), whose
// KDC is asked next. Each reply is checked like any other, for the same client. No
// realm is asked twice.
func (c *realmClient) ticketFor(ctx context.Context, tgt *Ticket, w tgsWant) (*Ticket, error) {
	ctx, cancel := withDeadline(ctx) // one for the whole way
	defer cancel()
	here, way := *c, []string{c.realm}
	for {
		t, err := here.tgsExchange(ctx, tgt, w)
		if err != nil {
			return nil, onTheWay(err, way)
		}
		next := t.referral
		if next == "" {
			return t, nil
		}
		switch {
		case slices.ContainsFunc(way, func(r string) bool { return equalRealm(r, next) }):
			return nil, onTheWay(&referralError{here.realm, next, "which was asked before"}, way)
		case len(way) > maxReferrals:
			return nil, onTheWay(&referralError{here.realm, next, fmt.Sprintf("after %d other referrals", maxReferrals)}, way)
		}
		tgt, here.realm, way = t, next, append(way, next)
	}
}

// referralError is a referral that is not followed.
type referralError struct{ from, to, why string }

func (e *referralError) Error() string {
	return "the KDC of " + e.from + " refers to " + e.to + ", " + e.why
}

// onTheWay adds the realms that were asked, when it was more than one.
func onTheWay(err error, way []string) error {
	if len(way) < 2 {
		return err
	}
	return fmt.Errorf("by way of %s: %w", strings.Join(way, ", "), err)
}

// referralTo is the realm that a reply refers to by the service name of its ticket,
// "" when it is no referral.
func referralTo(sname types.PrincipalName) string {
	n := sname.NameString
	if len(n) != 2 || !strings.EqualFold(n[0], "krbtgt") || !isRealm(n[1]) {
		return ""
	}
	return n[1]
}

// isRealm says whether a name that a KDC gave can be looked for in DNS and shown in
// a message. Realms of Active Directory are domain names (MS-KILE 3.1.5.7).
func isRealm(s string) bool {
	return s != "" && len(s) <= maxRealmLen && !strings.ContainsFunc(s, func(r rune) bool {
		return r == '/' || r == '@' || r == '\\' || r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r)
	})
}
