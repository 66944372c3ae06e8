package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"drover/internal/cmdlet"
	"drover/internal/directory"
	"drover/internal/enroll"
	"drover/internal/fault"
	"drover/internal/spn"
)

func (p *program) showComputer(ctx context.Context, call *cmdlet.Call, d *dressing) error {
	asked := call.List("Properties")
	for _, a := range asked {
		if a != "*" && !attributeName.MatchString(a) {
			return misuseOf(call.Cmdlet, fmt.Errorf("-Properties %q is no attribute's name", a))
		}
	}
	if call.Has("Server") {
		if d.directory.server != "" {
			return misuseOf(call.Cmdlet, fmt.Errorf("-Server and --server say the same; give one of them"))
		}
		d.directory.server = call.Text("Server")
	}
	return p.withDirectory(ctx, d.directory, func(c *directory.Conn) error {
		a, err := enroll.Account(ctx, c, call.Text("Identity"))
		if err != nil {
			return err
		}
		if a.Class == directory.User {
			root, err := c.Root(ctx)
			if err != nil {
				return err
			}
			return fault.New(fault.HostNotInDirectory, "", "domain", root.Domain, "name", call.Text("Identity"))
		}
		o, err := computerObject(ctx, c, a, asked)
		if err != nil {
			return err
		}
		return p.show(call, []cmdlet.Object{o}, o.Names())
	})
}

// attributeName is what may be asked for; the directory knows more forms, which
// would be options of the search.
var attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)

// computerObject has what the cmdlet always shows and what was asked for, by name.
func computerObject(ctx context.Context, c *directory.Conn, a directory.Account, asked []string) (cmdlet.Object, error) {
	name, _, _ := strings.Cut(a.DN, ",")
	_, name, _ = strings.Cut(name, "=")
	o := cmdlet.Object{{Name: "DistinguishedName", Value: a.DN}, {Name: "DNSHostName", Value: a.DNSHostName}, {Name: "Enabled", Value: !a.Disabled()},
		{Name: "Name", Value: name}, {Name: "ObjectClass", Value: string(a.Class)}, {Name: "SamAccountName", Value: a.Name}, {Name: "SID", Value: a.SID}}
	known := accountProperties(a)
	var others []string
	for _, name := range asked {
		switch {
		case name == "*":
			o = append(o, known...)
		case known.Get(name) != nil:
			o = append(o, cmdlet.Property{Name: name, Value: known.Get(name)})
		case o.Get(name) == nil:
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return unique(o), nil
	}
	e, err := c.Read(ctx, a.DN, others...)
	if err != nil {
		return nil, err
	}
	for _, name := range others {
		o = append(o, cmdlet.Property{Name: name, Value: texts(e.Attributes[name])})
	}
	return unique(o), nil
}

// accountProperties are what drover reads of every account, with PowerShell's names
// for some. Samba's escaped twins are not shown as names of their own.
func accountProperties(a directory.Account) cmdlet.Object {
	names, delegated := spn.PlainList(a.ServiceNames), spn.PlainList(a.DelegateTo)
	slices.Sort(names)
	slices.Sort(delegated)
	return cmdlet.Object{
		{Name: directory.AttributeDelegateTo, Value: slices.Concat([]string{}, delegated)},
		{Name: directory.AttributeServiceNames, Value: slices.Concat([]string{}, names)},
		{Name: "ServicePrincipalNames", Value: slices.Concat([]string{}, names)},
		{Name: directory.AttributeFlags, Value: a.Flags},
		{Name: "TrustedForDelegation", Value: a.Unconstrained()},
		{Name: "TrustedToAuthForDelegation", Value: a.AnyProtocol()},
		{Name: "AccountNotDelegated", Value: a.Sensitive()},
		{Name: directory.AttributeEncryptionTypes, Value: a.EncryptionTypes},
		{Name: "MemberOf", Value: slices.Concat([]string{}, a.MemberOf)},
	}
}

func unique(o cmdlet.Object) cmdlet.Object {
	var out cmdlet.Object
	for _, p := range o {
		if !slices.ContainsFunc(out, func(q cmdlet.Property) bool { return strings.EqualFold(p.Name, q.Name) }) {
			out = append(out, p)
		}
	}
	return out
}

// texts are an attribute's values; what is no text is in base64, as LDIF has it.
func texts(values [][]byte) any {
	out := []string{}
	for _, v := range values {
		if s := string(v); utf8.ValidString(s) && !strings.ContainsFunc(s, control) {
			out = append(out, s)
			continue
		}
		out = append(out, base64.StdEncoding.EncodeToString(v))
	}
	switch len(out) {
	case 0:
		return nil
	case 1:
		return out[0]
	}
	return out
}
