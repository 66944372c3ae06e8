package labtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/api"
	"drover/internal/config"
	"drover/internal/fault"
	"drover/internal/settings"
	"drover/internal/store"
	"drover/lab"
)

// TestSettings: what an administrator sets takes effect at once, outlives the
// agent, is written down with who did it, and no two changes undo each other.
func TestSettings(t *testing.T) {
	s := startSite(t, lab.Options{Name: "settings", Hosts: []string{lab.HV01, lab.HV02}})
	t.Run("effect", s.testSettingsEffect)
	t.Run("roles", s.testSettingsRoles)
	t.Run("at once", s.testSettingsAtOnce)
	t.Run("adapters", s.testAdapters)
	t.Run("restart and audit", s.testSettingsKept)
}

func subnet(n lab.Network) netip.Prefix { return netip.MustParsePrefix(n.Subnet()) }

// answers tells whether HV01's port 6600 takes connections on the network.
func (s *site) answers(t *testing.T, on lab.Network) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := s.Member(lab.HV02).Dial(ctx, "tcp", net.JoinHostPort(s.Member(lab.HV01).Address(on), fmt.Sprint(config.MigrationPort)))
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// testSettingsEffect looks at once after each change: nothing is waited for.
func (s *site) testSettingsEffect(t *testing.T) {
	ports := func(when string, migration, management bool) {
		t.Helper()
		if m, g := s.answers(t, lab.Migration), s.answers(t, lab.Management); m != migration || g != management {
			t.Errorf("%s: port 6600 answers on the migration network %t, on the management network %t", when, m, g)
		}
	}
	change := func(ch settings.Change) {
		t.Helper()
		if _, err := s.SetSettings(t.Context(), lab.HV01, ch); err != nil {
			t.Fatal(err)
		}
	}
	ports("at first", true, false)
	change(settings.Change{RemoveNetworks: []netip.Prefix{subnet(lab.Migration)}})
	ports("without networks", false, false)
	change(settings.Change{AddNetworks: []settings.Network{{Subnet: subnet(lab.Management)}}})
	ports("on the management network", false, true)
	change(settings.Change{Networks: lab.AgentSettings().Networks})
	ports("as at first", true, false)
}

// testSettingsRoles: who is no administrator changes nothing.
func (s *site) testSettingsRoles(t *testing.T) {
	set := func(user string, flags ...string) lab.Result {
		return s.as(t, user, append([]string{"host", "set", "--host", lab.HV01, "-o", "json"}, flags...)...)
	}
	s.signIn(t, lab.UserAdmin)
	refusal{fault.RoleMissing, 4, []string{"operator", "administrator", "HV01"}}.hold(t, set(lab.UserOperator, "--maximum-migrations", "7"))
	refusal{fault.SettingsInvalid, 2, []string{"HV01", "networks", "192.168.10.0/24"}}.hold(t, set(lab.UserAdmin, "--add-network", "192.168.10.0/24", "--remove-network", "10.9.9.0/24"))
	if r := set(lab.UserAdmin, "--maximum-migrations", "7"); r.Status != 0 {
		t.Errorf("as administrator: %+v", r)
	}
	if now, err := s.Settings(t.Context(), lab.HV01); err != nil || now.MaximumMigrations != 7 {
		t.Errorf("%+v, %v", now, err)
	}
}

// testSettingsAtOnce: two clients change different things of the same host, and a
// third loses when it decided by what is no longer there.
func (s *site) testSettingsAtOnce(t *testing.T) {
	const rounds = 40
	before, err := s.Settings(t.Context(), lab.HV01)
	if err != nil {
		t.Fatal(err)
	}
	network := func(i int) settings.Network {
		return settings.Network{Subnet: netip.MustParsePrefix(fmt.Sprintf("10.200.%d.0/24", i)), Priority: 5}
	}
	var failed [2]error
	var wg sync.WaitGroup
	for who, change := range []func(i int) settings.Change{
		func(i int) settings.Change { return settings.Change{AddNetworks: []settings.Network{network(i)}} },
		func(i int) settings.Change {
			n := 10 + i
			return settings.Change{MaximumStorageMigrations: &n}
		},
	} {
		wg.Go(func() {
			for i := range rounds {
				_, err := s.SetSettings(t.Context(), lab.HV01, change(i))
				failed[who] = errors.Join(failed[who], err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		t.Fatal(err)
	}
	after, err := s.Settings(t.Context(), lab.HV01)
	if err != nil {
		t.Fatal(err)
	}
	if after.Revision != before.Revision+2*rounds || after.MaximumStorageMigrations != 10+rounds-1 || len(after.Networks) != len(before.Networks)+rounds {
		t.Errorf("revision %d after %d, %d networks, %d storage migrations", after.Revision, before.Revision, len(after.Networks), after.MaximumStorageMigrations)
	}
	for i := range rounds {
		if !slices.Contains(after.Networks, network(i)) {
			t.Errorf("%s is lost", network(i))
		}
	}
	on := true
	_, err = s.SetSettings(t.Context(), lab.HV01, settings.Change{IfRevision: &before.Revision, AnyNetwork: &on})
	if !fault.Is(err, fault.SettingsChanged) {
		t.Errorf("decided on revision %d: %v", before.Revision, err)
	}
}

// testAdapters: a host tells its interfaces, and which of them takes migrations.
func (s *site) testAdapters(t *testing.T) {
	c, err := api.NewClient(api.ClientOptions{Address: "unix:" + s.Member(lab.HV01).Path("/run/drover/droverd.sock"), Host: lab.HV01})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	adapters, err := c.NetworkAdapters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	migrating := map[string]bool{} // by address
	for _, a := range adapters {
		if a.Kind == "" || a.MTU == 0 || a.Name == "lo" {
			t.Errorf("%+v", a)
		}
		for _, p := range a.Addresses {
			migrating[p.Addr().String()] = a.Migration && a.Up
		}
	}
	host := s.Member(lab.HV01)
	if m, listed := migrating[host.Address(lab.Migration)]; !m || !listed {
		t.Errorf("the migration network's interface: %+v", adapters)
	}
	if m, listed := migrating[host.Address(lab.Management)]; m || !listed {
		t.Errorf("the management network's interface: %+v", adapters)
	}
}

// testSettingsKept ends the agent and reads its journal, then starts it again.
func (s *site) testSettingsKept(t *testing.T) {
	before, err := s.Settings(t.Context(), lab.HV01)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.KillAgent(t.Context(), lab.HV01); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, a := range s.settingsAudit(t) {
		var d struct {
			Changes []settings.Difference
		}
		if err := json.Unmarshal(a.Detail, &d); err != nil {
			t.Fatal(err)
		}
		for _, c := range d.Changes {
			lines = append(lines, fmt.Sprint(a.Actor, " ", a.Outcome, " ", c.Setting, ": ", c.From, " -> ", c.To))
		}
		if len(d.Changes) == 0 {
			lines = append(lines, a.Actor+" "+a.Outcome)
		}
	}
	all := strings.Join(lines, "\n")
	admin := lab.UserAdmin + "@" + lab.Realm
	for _, want := range []string{
		admin + " ok incoming_enabled: off -> on", admin + " ok networks: none -> 192.168.10.0/24", admin + " ok networks: 192.168.10.0/24 -> none",
		admin + " ok maximum_migrations: 2 -> 7", admin + " settings-invalid", admin + " settings-changed",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the audit has no %q", want)
		}
	}
	if t.Failed() {
		t.Log(all)
	}
	if err := s.StartAgent(t.Context(), lab.HV01); err != nil {
		t.Fatal(err)
	}
	after, err := s.Settings(t.Context(), lab.HV01)
	if err != nil || after.Revision != before.Revision || len(settings.Diff(before, after)) > 0 {
		t.Errorf("after the restart: %+v, %v; before: %+v", after, err, before)
	}
	if !s.answers(t, lab.Migration) {
		t.Error("port 6600 does not answer after the restart")
	}
}

// settingsAudit reads the journal of HV01, whose agent does not run: a copy, because
// SQLite follows the link by which the lab sees into the host.
func (s *site) settingsAudit(t *testing.T) (rows []store.AuditRow) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"drover.db", "drover.db-wal"} {
		b, err := os.ReadFile(s.Member(lab.HV01).Path(filepath.Join("/var/lib/drover", name)))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	journal, err := store.Open(t.Context(), filepath.Join(dir, "drover.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	all, err := journal.Audits(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Action == "settings.change" {
			rows = append(rows, a)
		}
	}
	return rows
}
