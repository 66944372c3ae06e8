package delegation

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"drover/internal/directory"
	"drover/internal/fault"
)

// Script is the language of Print.
type Script string

// Scripts.
const (
	PowerShellScript Script = "powershell"
	LDIFScript       Script = "ldif"
	SambaToolScript  Script = "samba-tool"
)

// Print writes a script that does exactly the plan, for somebody who has the
// rights. now is what Plan.Needs asks for; only LDIF, which asserts old security
// descriptors and flags, looks at it, and it may be nil for the others. Nothing is
// written when there is an error. Faults: plan-not-printable (LDIF cannot name the
// SID of a group that does not exist yet, samba-tool cannot write a descriptor),
// plan-malformed; with LDIF plan-stale and directory-object-gone.
func Print(w io.Writer, s Script, p *Plan, now map[string]directory.Entry) error {
	if err := p.checked(); err != nil {
		return err
	}
	var text string
	var err error
	switch s {
	case PowerShellScript:
		text = p.powerShell()
	case LDIFScript:
		text, err = p.ldif(now)
	case SambaToolScript:
		text, err = p.sambaTool()
	default:
		err = notPrintable(s, "there is no such form")
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

func notPrintable(s Script, reason string, args ...any) error {
	return fault.New(fault.PlanNotPrintable, "", "script", string(s), "reason", fmt.Sprintf(reason, args...))
}

// header says what the script is, in lines for comments.
func (p *Plan) header() []string {
	objects := map[string]bool{}
	for _, c := range p.Changes {
		objects[strings.ToLower(c.DN)] = true
	}
	changes := len(p.Changes)
	if p.NewGroup != nil {
		changes++
		objects[strings.ToLower(p.NewGroup.DN)] = true
	}
	what := "delegation"
	if p.Rollback != "" {
		what = "delegation, back to " + p.Rollback
	}
	lines := []string{
		"Drover: " + what,
		fmt.Sprintf("%d changes to %d objects of %s", changes, len(objects), p.Domain),
		fmt.Sprintf("planned %s from %s", p.Time.UTC().Format(time.RFC3339), p.Server),
	}
	for i, l := range lines {
		lines[i] = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, l)
	}
	return lines
}

// local says that only root on the controller itself can carry the plan out: Samba
// 4.17 and 4.22 refuse msDS-AllowedToActOnBehalfOfOtherIdentity over LDAP ("can only
// be modified as system"), also from samba-tool -H ldap://.
func (p *Plan) local() bool {
	return directory.Controller(p.Kind) == directory.Samba &&
		slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Attribute == directory.AttributeActOnBehalf })
}

// byObject puts the changes of one object together, in the order of the plan, and
// removals behind everything that may refer to what is removed.
func (p *Plan) byObject() [][]Change {
	var out, removals [][]Change
	place := map[string]int{}
	for _, c := range p.Changes {
		key := strings.ToLower(c.DN)
		i, found := place[key]
		switch {
		case c.Attribute == "":
			removals = append(removals, []Change{c})
		case found:
			out[i] = append(out[i], c)
		default:
			place[key] = len(out)
			out = append(out, []Change{c})
		}
	}
	return append(out, removals...)
}

// splitDN gives the value of the first part of a distinguished name, without its
// escapes (RFC 4514, section 2.4), and what the object lies below.
func splitDN(dn string) (name, parent string) {
	_, rest, _ := strings.Cut(dn, "=")
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == ',':
			return b.String(), rest[i+1:]
		case c == '\\' && i+2 < len(rest) && hexDigit(rest[i+1]) && hexDigit(rest[i+2]):
			var v byte
			fmt.Sscanf(rest[i+1:i+3], "%02x", &v)
			b.WriteByte(v)
			i += 2
		case c == '\\' && i+1 < len(rest):
			i++
			b.WriteByte(rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

func hexDigit(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }
