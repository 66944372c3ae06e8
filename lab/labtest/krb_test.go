package labtest

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/directory"
	"drover/internal/doctor"
	"drover/internal/fault"
	"drover/internal/krb"
	"drover/internal/spn"
	"drover/lab"
)

const migration = lab.MigrationService

func (d *domain) host(t *testing.T, name string, now func() time.Time) *krb.Host {
	t.Helper()
	h, err := krb.OpenHost(krb.Config{Krb5Conf: d.conf, Keytab: d.Member(name).Path("/etc/krb5.keytab"), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// signIn is `drover login` of a user.
func (d *domain) signIn(t *testing.T, user string) *krb.Operator {
	t.Helper()
	cc := filepath.Join(d.dir, "cc-"+user)
	if _, err := krb.Login(t.Context(), user, lab.UserPassword, cc, d.conf, nil); err != nil {
		t.Fatal(err)
	}
	o, err := krb.OpenOperator(cc, d.conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// connect establishes a context with a ticket, bound to a session, both ways.
func connect(t *testing.T, tk *krb.Ticket, h *krb.Host, spnego bool) *krb.Context {
	t.Helper()
	binding := krb.Binding(slices.Repeat([]byte{3}, 32))
	c, token, err := krb.Initiate(tk, binding)
	if err != nil {
		t.Fatal(err)
	}
	if spnego {
		token = krb.NegTokenInit(token)
	}
	s, reply, err := h.Accept(token, binding)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Complete(reply); err != nil {
		t.Fatal(err)
	}
	proof, err := s.ProveBinding(binding)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckBinding(binding, proof); err != nil {
		t.Fatal(err)
	}
	return s
}

// evidence signs a user in and lets HV01 accept them.
func (d *domain) evidence(t *testing.T, o *krb.Operator, h *krb.Host) krb.Evidence {
	t.Helper()
	tk, err := o.Ticket(t.Context(), migration+"/HV01")
	if err != nil {
		t.Fatal(err)
	}
	ev, err := connect(t, tk, h, true).Evidence()
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func (d *domain) ldap(t *testing.T, h *krb.Host) *directory.Conn {
	t.Helper()
	c, err := directory.Dial(t.Context(), directory.Options{Domain: lab.Domain, Servers: []string{"dc1." + lab.Domain},
		Security: func(ctx context.Context, _ *tls.ConnectionState) directory.Security { return krb.NewSASL(ctx, h.Self) },
		Dial:     d.Member(lab.HV01).Dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// reset undoes what a subtest does to the directory.
func (d *domain) reset(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if err := d.Directory().Reset(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func wantCode(t *testing.T, err error, code fault.Code) *fault.Error {
	t.Helper()
	if !fault.Is(err, code) {
		t.Fatalf("%v, want %s", err, code)
	}
	return fault.From(err)
}

func TestKerberos(t *testing.T) {
	d := startDomain(t)
	t.Run("sign in", d.testLogin)
	t.Run("ticket of kinit", d.testKinit)
	t.Run("delegation", d.testDelegation)
	t.Run("protocol transition", d.testTransition)
	t.Run("own ticket", d.testSelf)
	t.Run("clock", d.testClock)
	t.Run("directory", d.testDirectory)
	t.Run("refusals explained", d.testExplained)
	t.Run("granted meanwhile", d.testGrantedMeanwhile)
	t.Run("stale keytab", d.testStaleKeytab) // last: HV03 has no good key afterwards
}

func (d *domain) testLogin(t *testing.T) {
	o := d.signIn(t, lab.UserOperator)
	if o.Principal() != lab.UserOperator+"@"+lab.Realm || !o.Forwardable() {
		t.Errorf("%s, forwardable %v", o.Principal(), o.Forwardable())
	}
	if _, err := o.Ticket(t.Context(), migration+"/HV09"); !fault.Is(err, fault.ServiceUnknown) {
		t.Errorf("unknown host: %v", err)
	}
	// MIT's own tools read the cache and go on with it.
	mgmt := d.Member(lab.MGMT)
	b, err := os.ReadFile(filepath.Join(d.dir, "cc-"+lab.UserOperator))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mgmt.Path("/tmp/cc-drover"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := mgmt.Command(t.Context(), "sh", "-c", "klist -f /tmp/cc-drover && kvno -c /tmp/cc-drover cifs/hv01."+lab.Domain)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Default principal: "+o.Principal()) || !strings.Contains(string(out), "kvno = ") {
		t.Errorf("%v: %s", err, out)
	}
	for _, c := range []struct{ user, password, reason string }{
		{lab.UserOperator, "wrong", "wrong password"},
		{"nosuch", "x", "no such account"},
		{lab.UserDisabled, lab.UserPassword, "disabled"},
	} {
		_, err := krb.Login(t.Context(), c.user, c.password, filepath.Join(d.dir, "cc-bad"), d.conf, nil)
		if f := wantCode(t, err, fault.LoginFailed); !strings.Contains(f.Args["reason"], c.reason) {
			t.Errorf("%s: %s", c.user, f.Message())
		}
	}
}

func (d *domain) kinit(t *testing.T, user string, flags ...string) *krb.Operator {
	t.Helper()
	mgmt := d.Member(lab.MGMT)
	cmd := mgmt.Command(t.Context(), append(append([]string{"kinit", "-c", "/tmp/cc-kinit"}, flags...), user)...)
	cmd.Stdin = strings.NewReader(lab.UserPassword + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o, err := krb.OpenOperator(mgmt.Path("/tmp/cc-kinit"), d.conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (d *domain) testKinit(t *testing.T) {
	o := d.kinit(t, lab.UserOperator)
	tk, err := o.Ticket(t.Context(), migration+"/hv01."+lab.Domain)
	if err != nil {
		t.Fatal(err)
	}
	id := connect(t, tk, d.host(t, lab.HV01, nil), true).Identity()
	if id.Principal != o.Principal() || id.SignIn != krb.SignInOwn || id.Delegated || !id.Forwardable {
		t.Errorf("%+v", id)
	}
	if !id.Member(d.GroupSIDs()[lab.GroupOperators]) || id.Member(d.GroupSIDs()[lab.GroupAdministrators]) {
		t.Errorf("groups %v", id.Groups)
	}
}

func (d *domain) testDelegation(t *testing.T) {
	h1, h2 := d.host(t, lab.HV01, nil), d.host(t, lab.HV02, nil)
	ev := d.evidence(t, d.signIn(t, lab.UserOperator), h1)
	for _, service := range []string{migration + "/HV02", migration + "/hv02." + lab.Domain, "cifs/HV02"} {
		tk, err := h1.Delegate(t.Context(), ev, service)
		if err != nil {
			t.Fatal(err)
		}
		id := connect(t, tk, h2, false).Identity()
		if id.Principal != lab.UserOperator+"@"+lab.Realm || id.SignIn != krb.SignInOwn || !id.Delegated ||
			id.DelegatingHost() != lab.HV01 || id.ProxyTarget != service || !id.Member(d.GroupSIDs()[lab.GroupOperators]) {
			t.Errorf("%s: %+v", service, id)
		}
	}
	kinds := map[string]int{}
	for _, i := range h1.Tickets() {
		kinds[i.Kind]++
	}
	if kinds[krb.KindDelegated] != 3 || kinds[krb.KindTGT] != 1 {
		t.Errorf("cache %v", kinds)
	}
}

func (d *domain) testTransition(t *testing.T) {
	h1, h2 := d.host(t, lab.HV01, nil), d.host(t, lab.HV02, nil)
	ev, err := h1.Impersonate(t.Context(), lab.UserOperator+"@"+lab.Realm)
	if err != nil || !ev.Forwardable() {
		t.Fatalf("%v, forwardable %v", err, ev.Forwardable())
	}
	tk, err := h1.Delegate(t.Context(), ev, migration+"/HV02")
	if err != nil {
		t.Fatal(err)
	}
	id := connect(t, tk, h2, false).Identity()
	if id.SignIn != krb.SignInAsserted || id.DelegatingHost() != lab.HV01 || id.Principal != lab.UserOperator+"@"+lab.Realm {
		t.Errorf("%+v", id)
	}
	for _, user := range []string{"nosuch", lab.UserDisabled} {
		_, err := h1.Impersonate(t.Context(), user+"@"+lab.Realm)
		wantCode(t, err, fault.OperatorUnknown)
	}
	sensitive, err := h1.Impersonate(t.Context(), lab.UserSensitive)
	if err != nil || sensitive.Forwardable() {
		t.Errorf("sensitive: %v, forwardable %v", err, sensitive.Forwardable())
	}
}

func (d *domain) testSelf(t *testing.T) {
	h1, h2 := d.host(t, lab.HV01, nil), d.host(t, lab.HV02, nil)
	tk, err := h1.Self(t.Context(), migration+"/HV02")
	if err != nil {
		t.Fatal(err)
	}
	if id := connect(t, tk, h2, false).Identity(); id.Principal != "HV01$@"+lab.Realm || id.Delegated {
		t.Errorf("%+v", id)
	}
}

func (d *domain) testClock(t *testing.T) {
	late := func() time.Time { return time.Now().Add(10 * time.Minute) }
	_, err := d.host(t, lab.HV01, late).Self(t.Context(), migration+"/HV02")
	if f := wantCode(t, err, fault.ClockSkew); !strings.HasPrefix(f.Args["skew"], "10m") && !strings.HasPrefix(f.Args["skew"], "9m59") {
		t.Errorf("skew %q", f.Args["skew"])
	}
	_, err = krb.Login(t.Context(), lab.UserOperator, lab.UserPassword, filepath.Join(d.dir, "cc-late"), d.conf, late)
	wantCode(t, err, fault.ClockSkew)
	tk, err := d.signIn(t, lab.UserOperator).Ticket(t.Context(), migration+"/HV01")
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := krb.Initiate(tk, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = d.host(t, lab.HV01, late).AcceptUnbound(token)
	if f := wantCode(t, err, fault.ClockSkew); f.Args["peer"] != lab.UserOperator+"@"+lab.Realm {
		t.Errorf("peer %q", f.Args["peer"])
	}
}

func (d *domain) testDirectory(t *testing.T) {
	c := d.ldap(t, d.host(t, lab.HV01, nil))
	if c.Kind() != directory.Samba || c.BaseDN() != lab.BaseDN {
		t.Errorf("%s %s", c.Kind(), c.BaseDN())
	}
	for _, name := range []string{"HV02$", "HV02$@" + lab.Realm, migration + "/HV02", "cifs/hv02." + lab.Domain} {
		a, err := c.Account(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if a.Name != "HV02$" || a.DN != lab.HostDN(lab.HV02) || a.DNSHostName != "hv02."+lab.Domain || !a.AnyProtocol() || a.KeyVersion == 0 ||
			!slices.Contains(a.DelegateTo, "cifs/HV01") || !spn.Contains(a.ServiceNames, spn.Twin(migration+"/HV02")) || a.Protected {
			t.Errorf("%s: %+v", name, a)
		}
	}
	for user, want := range map[string][2]bool{lab.UserOperator: {false, false}, lab.UserSensitive: {true, false}, lab.UserProtected: {false, true}} {
		a, err := c.Account(t.Context(), user+"@"+lab.Realm)
		if err != nil {
			t.Fatal(err)
		}
		if a.Sensitive() != want[0] || a.Protected != want[1] {
			t.Errorf("%s: %+v", user, a)
		}
	}
	if _, err := c.Account(t.Context(), "HV09$"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Errorf("close twice: %v", err)
	}
	if _, err := c.Account(t.Context(), "HV01$"); err == nil {
		t.Error("a closed connection answers")
	}
}

// testExplained provokes every reason in the real directory, and runs the command
// that the explanation prints: the delegation must work afterwards.
func (d *domain) testExplained(t *testing.T) {
	dn, all := lab.HostDN(lab.HV01), lab.DelegationTo(lab.HV02, lab.HV03)
	keep := func(drop ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(v string) bool { return slices.Contains(drop, v) })
	}
	forwardable := func(t *testing.T, h *krb.Host) krb.Evidence {
		return d.evidence(t, d.signIn(t, lab.UserOperator), h)
	}
	local := func(user string) func(*testing.T, *krb.Host) krb.Evidence {
		return func(t *testing.T, h *krb.Host) krb.Evidence {
			ev, err := h.Impersonate(t.Context(), user+"@"+lab.Realm)
			if err != nil {
				t.Fatal(err)
			}
			return ev
		}
	}
	signedIn := func(user string, flags ...string) func(*testing.T, *krb.Host) krb.Evidence {
		return func(t *testing.T, h *krb.Host) krb.Evidence { return d.evidence(t, d.kinit(t, user, flags...), h) }
	}
	for _, c := range []struct {
		name     string
		change   func(context.Context, *lab.Directory) error
		evidence func(*testing.T, *krb.Host) krb.Evidence
		service  string
		code     fault.Code
	}{
		{"no list", func(ctx context.Context, x *lab.Directory) error { return x.SetDelegation(ctx, lab.HV01) },
			forwardable, migration + "/HV02", fault.DelegationMissing},
		{"other host only", func(ctx context.Context, x *lab.Directory) error {
			return x.SetDelegation(ctx, lab.HV01, lab.DelegationTo(lab.HV03)...)
		}, forwardable, migration + "/HV02", fault.DelegationMissing},
		{"twin missing", func(ctx context.Context, x *lab.Directory) error {
			return x.SetDelegation(ctx, lab.HV01, keep(spn.Twin(migration+"/HV02"))...)
		}, forwardable, migration + "/HV02", fault.DelegationMissing},
		{"cifs missing", func(ctx context.Context, x *lab.Directory) error {
			return x.SetDelegation(ctx, lab.HV01, keep("cifs/HV02", "cifs/hv02."+lab.Domain)...)
		}, forwardable, "cifs/HV02", fault.DelegationNoStorage},
		{"Kerberos only", func(ctx context.Context, x *lab.Directory) error {
			return x.ChangeFlags(ctx, dn, 0, lab.FlagTrustedToAuthForDlg)
		}, local(lab.UserOperator), migration + "/HV02", fault.DelegationNoProtocol},
		{"ticket not forwardable", nil, signedIn(lab.UserOperator, "-F"), migration + "/HV02", fault.EvidenceNotForward},
		{"sensitive", nil, signedIn(lab.UserSensitive), migration + "/HV02", fault.OperatorSensitive},
		{"sensitive on the socket", nil, local(lab.UserSensitive), migration + "/HV02", fault.OperatorSensitive},
		{"protected", nil, signedIn(lab.UserProtected), migration + "/HV02", fault.OperatorSensitive},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				d.reset(t)
				if err := c.change(t.Context(), d.Directory()); err != nil {
					t.Fatal(err)
				}
			}
			h := d.host(t, lab.HV01, nil)
			ev := c.evidence(t, h)
			_, err := h.Delegate(t.Context(), ev, c.service)
			var refusal *krb.DelegationError
			if !errors.As(err, &refusal) {
				t.Fatalf("%v", err)
			}
			f := doctor.DiagnoseDelegation(t.Context(), d.ldap(t, h), nil, refusal)
			if f.Code != c.code {
				t.Fatalf("%s, want %s: %v", f.Code, c.code, f)
			}
			if f.Args["command"] != "" {
				d.runFix(t, f.Args["command"])
				if _, err := h.Delegate(t.Context(), ev, c.service); err != nil {
					t.Errorf("after %s: %v", f.Args["command"], err)
				}
			}
		})
	}
}

// runFix runs the printed command on the controller's own database, where it needs
// no password.
func (d *domain) runFix(t *testing.T, command string) {
	t.Helper()
	command = strings.ReplaceAll(command, " -H ldap://dc1."+lab.Domain+" -U Administrator", "")
	if strings.Contains(command, "-H") {
		t.Fatalf("unexpected controller in %s", command)
	}
	if out, err := d.Member(lab.DC1).Command(t.Context(), "sh", "-ec", command).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", command, err, out)
	}
}

// testGrantedMeanwhile: nobody has to empty a cache after the directory changed.
func (d *domain) testGrantedMeanwhile(t *testing.T) {
	d.reset(t)
	x, ctx := d.Directory(), t.Context()
	if err := x.SetDelegation(ctx, lab.HV01); err != nil {
		t.Fatal(err)
	}
	if err := x.ChangeFlags(ctx, lab.HostDN(lab.HV01), 0, lab.FlagTrustedToAuthForDlg); err != nil {
		t.Fatal(err)
	}
	h := d.host(t, lab.HV01, nil)
	ev, err := h.Impersonate(ctx, lab.UserOperator)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Delegate(ctx, ev, migration+"/HV02"); !fault.Is(err, fault.DelegationRefused) {
		t.Fatalf("%v", err)
	}
	if err := x.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Delegate(ctx, ev, migration+"/HV02"); err != nil {
		t.Errorf("with the old evidence, which is not forwardable: %v", err)
	}
}

func (d *domain) testStaleKeytab(t *testing.T) {
	h3 := d.host(t, lab.HV03, nil)
	if err := d.Directory().SetPassword(t.Context(), lab.HostDN(lab.HV03), "Other-Passw0rd-3"); err != nil {
		t.Fatal(err)
	}
	_, err := h3.Self(t.Context(), migration+"/HV02")
	wantCode(t, err, fault.KeytabStale)
	tk, err := d.signIn(t, lab.UserOperator).Ticket(t.Context(), migration+"/HV03")
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := krb.Initiate(tk, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = h3.AcceptUnbound(token)
	wantCode(t, err, fault.KeytabStale)
}
