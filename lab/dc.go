package lab

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// SambaService is the name of the domain controller's service on DC1.
const SambaService = "samba"

//go:embed directory_setup.py
var directorySetup string

// Bits of userAccountControl (MS-ADTS 2.2.16).
const (
	FlagDisabled            = 0x2
	FlagNormalAccount       = 0x200
	FlagWorkstationAccount  = 0x1000
	FlagPasswordNeverEnds   = 0x10000
	FlagTrustedForDelegate  = 0x80000 // unconstrained delegation
	FlagNotDelegated        = 0x100000
	FlagTrustedToAuthForDlg = 0x1000000 // "use any authentication protocol"
)

const (
	userFlags     = FlagNormalAccount | FlagPasswordNeverEnds
	computerFlags = FlagWorkstationAccount | FlagPasswordNeverEnds
)

// directorySpec is the input of directory_setup.py.
type directorySpec struct {
	Realm                 string            `json:"realm"`
	Domain                string            `json:"domain"`
	NetBIOS               string            `json:"netbios"`
	DCAddress             string            `json:"dc_address"`
	AdministratorPassword string            `json:"administrator_password"`
	Groups                []string          `json:"groups"`
	Users                 []userSpec        `json:"users"`
	Computers             []computerSpec    `json:"computers"`
	Addresses             map[string]string `json:"addresses"`
}

type userSpec struct {
	Name     string   `json:"name"`
	Password string   `json:"password"`
	Groups   []string `json:"groups"`
	Flags    int      `json:"flags"`
}

type computerSpec struct {
	Name         string   `json:"name"`
	FQDN         string   `json:"fqdn"`
	Password     string   `json:"password"`
	Flags        int      `json:"flags"`
	ServiceNames []string `json:"service_names"`
	DelegateTo   []string `json:"delegate_to"`
}

// MigrationService is the service class that Hyper-V, and so Drover, moves machines under.
const MigrationService = "Microsoft Virtual System Migration Service"

// ServiceNames are the service principal names of a host for the given service classes: with its
// short and its full name, and for a class with blanks once more with the blanks escaped, since
// Samba's Kerberos server looks names up in that form only. Without classes, all that the lab's
// hosts have.
func ServiceNames(host string, classes ...string) []string {
	if len(classes) == 0 {
		classes = []string{"HOST", "HTTP", "cifs", "WSMAN", "RestrictedKrbHost", MigrationService}
	}
	var names []string
	for _, class := range classes {
		forms := []string{class}
		if strings.Contains(class, " ") {
			forms = append(forms, strings.ReplaceAll(class, " ", `\ `))
		}
		for _, form := range forms {
			names = append(names, form+"/"+host, form+"/"+strings.ToLower(host)+"."+Domain)
		}
	}
	return names
}

// DelegationTo are the values that allow delegation to the given hosts for moves with storage.
func DelegationTo(hosts ...string) []string {
	var names []string
	for _, host := range hosts {
		names = append(names, ServiceNames(host, MigrationService, "cifs")...)
	}
	return names
}

func theDirectory() directorySpec {
	d := directorySpec{
		Realm: Realm, Domain: Domain, NetBIOS: NetBIOS,
		DCAddress: members[0].address(Management), AdministratorPassword: AdministratorPassword,
		Groups:    []string{GroupOperators, GroupAdministrators, GroupViewers},
		Addresses: map[string]string{},
		Users: []userSpec{
			{UserOperator, UserPassword, []string{GroupOperators}, userFlags},
			{UserAdmin, UserPassword, []string{GroupAdministrators}, userFlags},
			{UserViewer, UserPassword, []string{GroupViewers}, userFlags},
			{UserNobody, UserPassword, nil, userFlags},
			{UserSensitive, UserPassword, []string{GroupOperators}, userFlags | FlagNotDelegated},
			{UserProtected, UserPassword, []string{GroupOperators, "Protected Users"}, userFlags},
			{UserDisabled, UserPassword, []string{GroupOperators}, userFlags | FlagDisabled},
		},
	}
	for _, s := range members {
		if s.role == roleDC {
			continue
		}
		d.Addresses[strings.ToLower(s.name)] = s.address(Management)
		if s.role != roleHost {
			continue
		}
		d.Computers = append(d.Computers, s.computer())
	}
	return d
}

// computer is a host's account. The hosts of a default lab may delegate to one another; a further
// one has what a host has that was only joined and enrolled.
func (s spec) computer() computerSpec {
	c := computerSpec{
		Name: s.name, FQDN: s.fqdn(), Password: "Mach-" + s.name + "-Passw0rd",
		Flags: computerFlags, ServiceNames: ServiceNames(s.name),
	}
	if !contains(DefaultHosts(), s.name) {
		return c
	}
	c.Flags |= FlagTrustedToAuthForDlg
	for _, other := range DefaultHosts() {
		if other != s.name {
			c.DelegateTo = append(c.DelegateTo, DelegationTo(other)...)
		}
	}
	return c
}

// dcFiles configure Samba.
func dcFiles() ([]file, error) {
	c, err := newCertificates()
	if err != nil {
		return nil, err
	}
	return []file{
		{"/etc/samba/tls/ca.pem", 0o644, c.ca},
		{"/etc/samba/tls/cert.pem", 0o644, c.cert},
		{"/etc/samba/tls/key.pem", 0o600, c.key},
		{"/etc/samba/smb.conf", 0o644, fmt.Sprintf(`[global]
  netbios name = DC1
  realm = %s
  workgroup = %s
  server role = active directory domain controller
  server services = rpc, ldap, cldap, kdc, dns
  interfaces = lo %s
  bind interfaces only = yes
  tls enabled = yes
  tls certfile = /etc/samba/tls/cert.pem
  tls keyfile = /etc/samba/tls/key.pem
  tls cafile = /etc/samba/tls/ca.pem
[sysvol]
  path = /var/lib/samba/sysvol
  read only = no
[netlogon]
  path = /var/lib/samba/sysvol/%s/scripts
  read only = no
`, Realm, NetBIOS, Management, Domain)},
	}, nil
}

// startDC makes the domain, starts Samba, and hands out the keytabs and the CA's certificate.
func (l *Lab) startDC(ctx context.Context) error {
	dc := l.Member(DC1)
	input, err := json.Marshal(theDirectory())
	if err != nil {
		return err
	}
	setup := dc.Command(ctx, "/usr/bin/python3", "-c", directorySetup)
	setup.Stdin = strings.NewReader(string(input))
	log, err := os.Create(dc.LogPath("directory-setup"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	setup.Stderr = log
	out, err := setup.Output()
	if err != nil {
		return fmt.Errorf("make the domain: %w\n%s", err, tail(log.Name()))
	}
	var result struct {
		GroupSIDs map[string]string `json:"group_sids"`
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return fmt.Errorf("make the domain: unexpected result: %w\n%s", err, tail(log.Name()))
	}
	l.state.GroupSIDs = result.GroupSIDs
	if err := l.handOut(dc); err != nil {
		return err
	}
	return l.StartDirectory(ctx, 0)
}

// faketime makes a program believe in another time.
const faketime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"

// StartDirectory starts the domain controller again after StopDirectory, with a clock that is
// ahead of everybody else's by so much; 0 for a right one.
func (l *Lab) StartDirectory(ctx context.Context, ahead time.Duration) error {
	dc := l.Member(DC1)
	var env []string
	if ahead != 0 {
		env = []string{"LD_PRELOAD=" + faketime, fmt.Sprintf("FAKETIME=%+ds", int(ahead.Seconds()))}
	}
	return dc.Start(ctx, Service{
		Name:        SambaService,
		Argv:        []string{"/usr/sbin/samba", "-F", "-M", "single", "--debug-stdout", "-d1"},
		Env:         env,
		Ready:       func(ctx context.Context) error { return dialAll(ctx, dc, "53", "88", "389", "636") },
		ReadyWithin: 2 * time.Minute,
	})
}

// StopDirectory ends the domain controller and returns when it is gone.
func (l *Lab) StopDirectory(ctx context.Context) error {
	_, err := l.Member(DC1).Stop(ctx, SambaService, syscall.SIGKILL)
	return err
}

// dialAll succeeds when every TCP port of a member accepts connections.
func dialAll(ctx context.Context, m *Member, ports ...string) error {
	for _, port := range ports {
		connection, err := m.Dial(ctx, "tcp", m.Name+":"+port)
		if err != nil {
			return err
		}
		if err := connection.Close(); err != nil {
			return err
		}
	}
	return nil
}

// handOut copies keytabs from DC1 to the hosts, and the CA's certificate to everybody.
func (l *Lab) handOut(dc *Member) error {
	var errs []error
	for _, s := range members {
		m := l.Member(s.name)
		if m == nil {
			continue
		}
		errs = append(errs, copyFile(dc.Path("/etc/samba/tls/ca.pem"), m.Path(CAPath), 0o644))
		if s.role == roleHost {
			errs = append(errs, copyFile(l.KeytabPath(s.name), m.Path("/etc/krb5.keytab"), 0o600))
		}
	}
	return errors.Join(errs...)
}

// KeytabPath is where a test finds the keytab of a host's account, also of a host that is not
// raised: a file on DC1, seen from outside. It is as old as the lab: SetPassword outdates it.
func (l *Lab) KeytabPath(host string) string {
	return l.Member(DC1).Path("/run/keytabs/" + host + ".keytab")
}

// copyFile replaces to by what is in from.
func copyFile(from, to string, mode os.FileMode) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(to, raw, mode)
}
