package doctor

import (
	"slices"
	"strings"

	"drover/internal/finding"
)

// edit changes a file of this machine with sed, and keeps the old one under a name that
// is this finding's. It is written where it is: it may be mounted, or a link.
func edit(path, name, script string) (fix, undo []finding.Command) {
	old := path + ".before-" + strings.ToLower(name)
	return []finding.Command{shell("cp %s %s", path, old), shell("sed %s %s > %s", script, old, path)},
		[]finding.Command{shell("cp %s %s", old, path)}
}

// literal is text for the left side of a substitution of sed.
func literal(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(`\.*[]^$/`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// searchList gives resolv.conf this search list in place of all that it has: of several
// lines, `domain` among them, the last one counts.
func searchList(path, name string, domains []string) (fix, undo []finding.Command) {
	fix, undo = edit(path, name, `/^[[:space:]]*\(search\|domain\)[[:space:]]/d`)
	return append(fix, shell(`printf '\nsearch %%s\n' %s >> %s`, strings.Join(domains, " "), path)), undo
}

// firstDomain and lastDomain are a search list with one domain at its beginning or end.
func firstDomain(search []string, domain string) []string {
	return append([]string{domain}, slices.DeleteFunc(slices.Clone(search), func(d string) bool { return strings.EqualFold(d, domain) })...)
}

func lastDomain(search []string, domain string) []string {
	return append(slices.Clone(search), domain)
}

// mapping gives [domain_realm] of krb5.conf the right realm for a host. A line of the
// host or its domain is corrected; one of more than that stays, and is preceded.
func mapping(path, key, domain, realm string) (fix, undo []finding.Command) {
	if key == domain || strings.HasSuffix(key, "."+domain) {
		return edit(path, "realm-of-"+strings.TrimPrefix(key, "."), `/^[[:space:]]*\[domain_realm\]/,/^\[/s/^\([[:space:]]*`+literal(key)+`[[:space:]]*=\).*/\1 `+realm+"/I")
	}
	return edit(path, "realm-of-"+domain, `s/^[[:space:]]*\[domain_realm\].*/&\n .`+domain+" = "+realm+"/")
}

// withController leaves out commands for a controller that nobody knows.
func (x *examination) withController(all ...finding.Command) []finding.Command {
	known := x.nameServer() != placeholder
	return slices.DeleteFunc(all, func(c finding.Command) bool { return c.Tool == finding.SambaTool && !known })
}
