package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/directory"
	"drover/internal/finding"
	"drover/internal/spn"
)

const base = "DC=lab,DC=drover,DC=test"

// world is a directory in memory: hosts that may all delegate to each other, as the
// default policy wants, and what tests add.
type world struct {
	root     directory.Root
	accounts []*directory.Account
	groups   []*directory.Group
	changed  []directory.Changed
	usn      int64
	failure  error // every question fails with it

	reads   map[string]int // accounts by name: how often they were given out
	queries []directory.Query
	asked   map[string]int // calls by name
}

func host(i int) string { return fmt.Sprintf("HV%02d", i) }

func newWorld(n int) *world {
	w := &world{usn: 1000, reads: map[string]int{}, asked: map[string]int{}, root: directory.Root{Server: "dc1.lab.drover.test",
		Kind: directory.Samba, BaseDN: base, Domain: "lab.drover.test", DomainSID: "S-1-5-21-1-2-3", InvocationID: "first", Controllers: 1}}
	for i := 1; i <= n; i++ {
		w.addHost(i, n)
	}
	return w
}

func (w *world) addHost(i, n int) *directory.Account {
	a := w.add(&directory.Account{DN: "CN=" + host(i) + ",CN=Computers," + base, Class: directory.Computer, Name: host(i) + "$",
		DNSHostName: strings.ToLower(host(i)) + ".lab.drover.test", Flags: directory.FlagWorkstation | directory.FlagTrustedToAuth, EncryptionTypes: 24,
		ServiceNames: append([]string{"HOST/" + host(i), "HOST/" + strings.ToLower(host(i)) + ".lab.drover.test"}, names(i, spn.Migration)...)})
	for j := 1; j <= n; j++ {
		if i != j {
			a.DelegateTo = append(a.DelegateTo, names(j, spn.Migration, spn.Storage)...)
		}
	}
	return a
}

// names are the stored names of a host's services on Samba.
func names(i int, classes ...string) []string {
	var out []string
	for _, c := range classes {
		out = append(out, spn.Stored(true, spn.For(c, host(i)), spn.For(c, host(i)+".lab.drover.test"))...)
	}
	return out
}

func (w *world) add(a *directory.Account) *directory.Account {
	a.SID = cmp.Or(a.SID, fmt.Sprintf("S-1-5-21-1-2-3-%d", 1100+len(w.accounts)))
	a.USN = w.usn
	w.accounts = append(w.accounts, a)
	return a
}

func (w *world) addUser(name string, flags uint32) *directory.Account {
	return w.add(&directory.Account{DN: "CN=" + name + ",CN=Users," + base, Class: directory.User, Name: name, Flags: 0x200 | flags})
}

func (w *world) addGroup(name string, members ...string) *directory.Group {
	g := &directory.Group{DN: "CN=" + name + ",CN=Users," + base, Name: name, SID: "S-1-5-21-1-2-3-900" + fmt.Sprint(len(w.groups)), Members: members}
	w.groups = append(w.groups, g)
	return g
}

func (w *world) account(name string) *directory.Account {
	for _, a := range w.accounts {
		if strings.EqualFold(a.Name, name) {
			return a
		}
	}
	return nil
}

// touch notes that objects changed.
func (w *world) touch(dns ...string) {
	for _, dn := range dns {
		w.usn++
		w.changed = append(w.changed, directory.Changed{DN: dn, USN: w.usn})
		for _, a := range w.accounts {
			if strings.EqualFold(a.DN, dn) {
				a.USN = w.usn
			}
		}
	}
}

// change changes an account and notes it.
func (w *world) change(name string, f func(*directory.Account)) {
	a := w.account(name)
	f(a)
	w.touch(a.DN)
}

func (w *world) Root(context.Context) (directory.Root, error) { return w.root, w.failure }
func (w *world) Mappings(context.Context) ([]string, error) {
	return []string{"cifs", "http"}, w.failure
}
func (w *world) HighestUSN(context.Context) (int64, error) { return w.usn, w.failure }
func (w *world) Changes(_ context.Context, since int64) ([]directory.Changed, error) {
	w.asked["Changes"]++
	var out []directory.Changed
	for _, c := range w.changed {
		if c.USN > since {
			out = append(out, c)
		}
	}
	return out, w.failure
}

func (w *world) Groups(_ context.Context, names ...string) ([]directory.Group, error) {
	w.asked["Groups"]++
	var out []directory.Group
	for _, g := range w.groups {
		if slices.ContainsFunc(names, func(n string) bool {
			return strings.EqualFold(n, g.Name) || strings.EqualFold(n, g.DN) || n == g.SID
		}) {
			out = append(out, *g)
		}
	}
	return out, w.failure
}

func (w *world) Accounts(_ context.Context, q directory.Query) ([]directory.Account, error) {
	w.asked["Accounts"]++
	w.queries = append(w.queries, q)
	var out []directory.Account
	for _, a := range w.accounts {
		if matches(a, q) {
			w.reads[a.Name]++
			c := *a
			c.ServiceNames, c.DelegateTo = slices.Clone(a.ServiceNames), slices.Clone(a.DelegateTo)
			out = append(out, c)
		}
	}
	return out, w.failure
}

func matches(a *directory.Account, q directory.Query) bool {
	delegating := len(a.DelegateTo) > 0 || a.ResourceBased() || a.Flags&(directory.FlagTrustedForAny|directory.FlagTrustedToAuth) != 0
	switch {
	case q.Base != "" && !below(a.DN, q.Base),
		q.ServiceNames && len(a.ServiceNames) == 0, q.Nameless && len(a.ServiceNames) > 0,
		q.Delegating && !delegating, q.Computers && a.Class != directory.Computer:
		return false
	}
	return len(q.Names) == 0 || slices.ContainsFunc(q.Names, func(n string) bool {
		return strings.EqualFold(n, a.Name) || strings.EqualFold(n, a.DNSHostName) || strings.EqualFold(n, a.DN) || n == a.SID ||
			strings.EqualFold(n+"$", a.Name)
	})
}

var errGone = errors.New("connection reset by peer")

// policy reads a policy, which must be right.
func policy(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := ReadPolicy(strings.NewReader(text), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// audit loads and checks.
func audit(t testing.TB, w *world, p *Policy) []finding.Finding {
	t.Helper()
	s, err := load(t.Context(), w, p, time.Unix(1_800_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	fs, err := Check(p, s)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// brief are findings as "severity code object: values".
func brief(fs []finding.Finding) []string {
	var out []string
	for _, f := range fs {
		out = append(out, fmt.Sprintf("%s %s %s: %s", f.Severity, f.Code, f.Object, strings.Join(f.Values, ", ")))
	}
	return out
}
