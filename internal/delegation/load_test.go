package delegation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/spn"
)

// forest is a Source with hosts of the domain, and others that only Find gives.
type forest struct {
	State
	elsewhere []directory.Account
	queries   []directory.Query
}

func (f *forest) Root(context.Context) (directory.Root, error)                 { return f.State.Root, nil }
func (f *forest) Mappings(context.Context) ([]string, error)                   { return f.State.Mappings, nil }
func (f *forest) Groups(context.Context, ...string) ([]directory.Group, error) { return nil, nil }

func (f *forest) Accounts(_ context.Context, q directory.Query) ([]directory.Account, error) {
	f.queries = append(f.queries, q)
	if q.Class == spn.Migration {
		return f.Hosts, nil
	}
	return nil, nil
}

func (f *forest) Find(_ context.Context, names []string) (out []directory.Account, _ error) {
	for _, a := range slices.Concat(f.Hosts, f.elsewhere) {
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, a.ShortName()) || strings.EqualFold(n, a.DNSHostName) }) {
			out = append(out, a)
		}
	}
	return out, nil
}

// far is a host of the domain child.lab.drover.test.
func far(n int) directory.Account {
	a := goodHost(n, false)
	a.DN = strings.TrimSuffix(a.DN, testBase) + "DC=child," + testBase
	a.DNSHostName = strings.ToLower(a.ShortName()) + ".child.lab.drover.test"
	a.SID = strings.Replace(a.SID, testDomain, "S-1-5-21-7-8-9", 1)
	return a
}

func TestHostsOfOtherDomainsAreFoundByName(t *testing.T) {
	f := &forest{State: goodState(directory.Windows, 2), elsewhere: []directory.Account{far(3), far(4)}}
	again := far(4)
	again.DN = strings.Replace(again.DN, "DC=child,", "DC=other,", 1)
	f.elsewhere = append(f.elsewhere, again)
	f.elsewhere[0].DelegateTo = []string{"cifs/HV09"} // of that domain, where nobody looks for it
	s, err := Load(t.Context(), f, Selection{Names: []string{"HV01", "hv03"}}, Intent{Model: ResourceBased}, time.Now())
	if err != nil || len(s.Hosts) != 2 || s.Hosts[1].DN != far(3).DN || len(s.Others) != 1 || s.NamesRead || len(f.queries) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	_, err = Load(t.Context(), f, Selection{Names: []string{"HV01", "HV04"}}, Intent{}, time.Now())
	if !fault.Is(err, fault.HostNameAmbiguous) || !strings.Contains(err.Error(), "DC=other") || !strings.Contains(err.Error(), "DC=child") {
		t.Errorf("a name in two domains: %v", err)
	}
	if s, err = Load(t.Context(), f, Selection{Names: []string{"HV01", "HV02"}}, Intent{}, time.Now()); err != nil || !s.NamesRead {
		t.Errorf("%+v, %v", s, err)
	}
}

// Each such search reads the names of the whole directory.
func TestManyNamesThatAreGoneAreLookedForAtOnce(t *testing.T) {
	f := &forest{State: goodState(directory.Samba, 2)}
	for i := range 5 * manyNames {
		f.Hosts[0].DelegateTo = append(f.Hosts[0].DelegateTo, fmt.Sprintf("cifs/gone%d", i))
	}
	s, err := Load(t.Context(), f, Selection{Names: []string{"HV01", "HV02"}}, Intent{}, time.Now())
	if err != nil || !s.NamesRead || len(f.queries) != 3 {
		t.Errorf("%v, %d searches", err, len(f.queries))
	}
}
