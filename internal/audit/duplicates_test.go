package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"drover/internal/directory"
	"drover/internal/spn"
)

func TestDuplicates(t *testing.T) {
	account := func(name string, class directory.AccountClass, flags uint32, names ...string) directory.Account {
		return directory.Account{DN: "CN=" + name + "," + base, Name: name, Class: class, Flags: flags, ServiceNames: names}
	}
	plain := spn.Migration + "/HV01"
	for _, tc := range []struct {
		name     string
		accounts []directory.Account
		want     string
	}{
		{"none", []directory.Account{account("a", directory.Computer, 0, "cifs/a"), account("b", directory.Computer, 0, "cifs/b")}, ""},
		{"other letters", []directory.Account{account("b", directory.Computer, 0, "CIFS/X"), account("a", directory.Computer, 0, "cifs/x")}, "CIFS/X: a b"},
		{"a user, and a disabled computer", []directory.Account{account("u", directory.User, 0, "http/x"), account("c", directory.Computer, directory.FlagDisabled, "http/x")}, "http/x: c u"},
		{"a managed service account", []directory.Account{account("m", directory.ManagedService, 0, "http/x"), account("c", directory.Computer, 0, "http/x")}, "http/x: c m"},
		{"twice on one account", []directory.Account{account("a", directory.Computer, 0, "cifs/x", "CIFS/X")}, ""},
		{"the same account given twice", []directory.Account{account("a", directory.Computer, 0, "cifs/x"), account("A", directory.Computer, 0, "cifs/x")}, ""},
		{"a twin beside its plain form", []directory.Account{account("a", directory.Computer, 0, plain, spn.Twin(plain))}, ""},
		{"twins on two accounts are one name", []directory.Account{account("a", directory.Computer, 0, plain, spn.Twin(plain)), account("b", directory.Computer, 0, spn.Twin(plain), plain)}, plain + ": a b"},
		{"three", []directory.Account{account("a", directory.Computer, 0, "x/y"), account("b", directory.Computer, 0, "x/y"), account("c", directory.Computer, 0, "x/y")}, "x/y: a b c"},
		{"sorted by name", []directory.Account{account("a", directory.Computer, 0, "z/z", "b/b"), account("b", directory.Computer, 0, "z/z", "b/b")}, "b/b: a b; z/z: a b"},
	} {
		var got []string
		for _, d := range Duplicates(tc.accounts) {
			var who []string
			for i, a := range d.Accounts {
				who = append(who, strings.ToLower(a.Name))
				if d.Objects[i] != a.DN {
					t.Errorf("%s: %q beside %q", tc.name, d.Objects[i], a.DN)
				}
			}
			got = append(got, d.Name+": "+strings.Join(who, " "))
		}
		if s := strings.Join(got, "; "); s != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, s, tc.want)
		}
	}
}

// However the accounts are ordered, the same is found.
func TestDuplicatesDoNotDependOnTheOrder(t *testing.T) {
	var accounts []directory.Account
	for i := range 50 {
		accounts = append(accounts, directory.Account{DN: fmt.Sprintf("CN=a%02d", i), ServiceNames: []string{fmt.Sprintf("cifs/x%d", i%20), "http/all"}})
	}
	brief := func(ds []Duplicate) (out []string) {
		for _, d := range ds {
			out = append(out, d.Name+" "+strings.Join(d.Objects, " "))
		}
		return out
	}
	want := brief(Duplicates(accounts))
	slices.Reverse(accounts)
	if got := brief(Duplicates(accounts)); len(want) != 21 || !slices.Equal(got, want) {
		t.Errorf("%q\n%q", got, want)
	}
}
