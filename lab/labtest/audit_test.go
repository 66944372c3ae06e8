package labtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/audit"
	"drover/internal/finding"
	"drover/internal/spn"
	"drover/lab"
)

// auditPolicy is what the lab's directory is: three hosts in a full mesh. Operators are
// given by each test.
const auditPolicy = "hosts: [HV01, hv02.lab.drover.test, 'HV03$']\n"

// audited is a lab whose directory is broken and audited, by a user without rights.
type audited struct {
	*lab.Lab
	dir *lab.Directory
}

func startAudited(t *testing.T, o lab.Options) *audited {
	t.Helper()
	o.NoAgents, o.Hosts = true, []string{lab.HV01}
	l := lab.Start(t, o)
	if err := l.KInit(t.Context(), lab.UserNobody); err != nil {
		t.Fatal(err)
	}
	return &audited{l, l.Directory()}
}

// policy puts a policy on the workstation and gives its path there.
func (a *audited) policy(t *testing.T, text string) string {
	t.Helper()
	const path = "/tmp/policy.yaml"
	if err := os.WriteFile(a.Member(lab.MGMT).Path(path), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

type auditReport struct {
	Server   string
	Time     time.Time
	Findings []finding.Finding
	Summary  map[finding.Severity]int
}

func (a *audited) audit(t *testing.T, policy string, flags ...string) (auditReport, lab.Result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := append([]string{"delegation", "audit", "--policy", a.policy(t, policy), "-o", "json"}, flags...)
	r, err := a.Drover(ctx, lab.UserNobody, args...)
	if err != nil {
		t.Fatal(err)
	}
	var report auditReport
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil || report.Findings == nil {
		t.Fatalf("drover printed no report (%v): status %d\n%s%s", err, r.Status, r.Stdout, r.Stderr)
	}
	return report, r
}

// briefly is findings as "severity code object".
func briefly(fs []finding.Finding) []string {
	out := []string{}
	for _, f := range fs {
		out = append(out, fmt.Sprintf("%s %s %s", f.Severity, f.Code, f.Object))
	}
	return out
}

func (a *audited) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// breach is one way in which a directory is not what it should be.
type breach struct {
	name, policy string
	do, undo     func(context.Context, *lab.Directory) error
	want         []string
	status       int
}

func breaches() []breach {
	hv01, hv02, operator := lab.HostDN(lab.HV01), lab.HostDN(lab.HV02), lab.UserDN(lab.UserOperator)
	delegateTo, names := "msDS-AllowedToDelegateTo", "servicePrincipalName"
	full := "cifs/hv02." + lab.Domain
	flags := func(dn string, set, clear int) func(context.Context, *lab.Directory) error {
		return func(ctx context.Context, d *lab.Directory) error { return d.ChangeFlags(ctx, dn, set, clear) }
	}
	return []breach{
		{name: "nothing"},
		{name: "one value", do: func(ctx context.Context, d *lab.Directory) error { return d.RemoveDelegation(ctx, lab.HV01, full) },
			want: []string{"error delegation-incomplete HV01$"}, status: 11},
		{name: "more than is wanted", do: func(ctx context.Context, d *lab.Directory) error {
			return d.AddDelegation(ctx, lab.HV01, "MSSQLSvc/db01:1433", "cifs/DC1", "cifs/HV99")
		}, want: []string{"warning delegation-extra HV01$", "warning delegation-stale-name HV01$"}, status: 10},
		{name: "on a user", do: func(ctx context.Context, d *lab.Directory) error {
			return d.Add(ctx, operator, delegateTo, "cifs/HV02")
		},
			undo: func(ctx context.Context, d *lab.Directory) error { return d.Replace(ctx, operator, delegateTo) },
			want: []string{"error delegation-wrong-object operator"}, status: 11},
		{name: "unconstrained", do: flags(hv02, lab.FlagTrustedForDelegate, 0), want: []string{"critical unconstrained-delegation HV02$"}, status: 12},
		{name: "no protocol transition", do: flags(hv02, 0, lab.FlagTrustedToAuthForDlg), want: []string{"error protocol-transition-missing HV02$"}, status: 11},
		{name: "Kerberos only", policy: "protocol: kerberos\n",
			want: []string{"warning protocol-transition-extra HV01$", "warning protocol-transition-extra HV02$", "warning protocol-transition-extra HV03$"}, status: 10},
		{name: "a service name is gone", do: func(ctx context.Context, d *lab.Directory) error {
			return d.Remove(ctx, hv02, names, spn.Migration+"/HV02")
		}, want: []string{"error service-name-missing HV02$"}, status: 11},
		{name: "a service name is elsewhere", do: func(ctx context.Context, d *lab.Directory) error {
			if err := d.Remove(ctx, hv02, names, spn.Migration+"/HV02", spn.Twin(spn.Migration+"/HV02")); err != nil {
				return err
			}
			return d.Add(ctx, operator, names, spn.Migration+"/HV02", spn.Twin(spn.Migration+"/HV02"))
		}, undo: func(ctx context.Context, d *lab.Directory) error { return d.Replace(ctx, operator, names) },
			want: []string{"error service-name-misplaced operator"}, status: 11},
		{name: "a disabled host", do: flags(hv01, lab.FlagDisabled, 0), want: []string{"error host-account-disabled HV01$"}, status: 11},
		{name: "no AES", do: func(ctx context.Context, d *lab.Directory) error {
			return d.Replace(ctx, hv01, "msDS-SupportedEncryptionTypes", "4")
		}, undo: func(ctx context.Context, d *lab.Directory) error {
			return d.Replace(ctx, hv01, "msDS-SupportedEncryptionTypes", "24")
		}, want: []string{"warning host-without-aes HV01$"}, status: 10},
		{name: "one way", policy: "one_way: ['HV01:HV02']\n", want: []string{"warning delegation-extra HV01$", "warning delegation-extra HV02$", "warning delegation-extra HV03$"}, status: 10},
		{name: "operators", policy: "operators: ['" + lab.GroupOperators + "', nobody1@" + lab.Realm + ", nowhere]\n",
			want: []string{"error operator-sensitive protected", "error operator-sensitive sensitive", "warning operator-disabled disabled", "warning operator-not-in-directory nowhere"}, status: 11},
		{name: "what is off", policy: "severity: {unconstrained-delegation: off}\n", do: flags(hv02, lab.FlagTrustedForDelegate, 0)},
	}
}

// TestAudit breaks the directory in every way, and sees exactly that.
func TestAudit(t *testing.T) {
	for name, o := range map[string]lab.Options{"samba 4.17": {Name: "audit417"}, "samba 4.22": {Name: "audit422", Directory: "trixie"}} {
		t.Run(name, func(t *testing.T) {
			a := startAudited(t, o)
			for _, b := range breaches() {
				t.Run(b.name, func(t *testing.T) { a.testBreach(t, b) })
			}
			t.Run("as text", a.testText)
			t.Run("duplicate", a.testDuplicate)
		})
	}
}

func (a *audited) testBreach(t *testing.T, b breach) {
	if b.do != nil {
		a.must(t, b.do(t.Context(), a.dir))
	}
	report, r := a.audit(t, auditPolicy+b.policy)
	if b.undo != nil {
		a.must(t, b.undo(t.Context(), a.dir))
	}
	a.must(t, a.dir.Reset(t.Context()))
	want := append([]string{}, b.want...)
	if diff := cmp.Diff(want, briefly(report.Findings)); diff != "" || r.Status != b.status {
		t.Errorf("status %d, want %d\n%s", r.Status, b.status, diff)
	}
	if report.Server != "dc1."+lab.Domain || len(report.Summary) != 4 {
		t.Errorf("%+v", report)
	}
}

func (a *audited) testText(t *testing.T) {
	a.must(t, a.dir.ChangeFlags(t.Context(), lab.HostDN(lab.HV02), lab.FlagTrustedForDelegate, 0))
	r, err := a.Drover(t.Context(), lab.UserNobody, "delegation", "audit", "--policy", a.policy(t, auditPolicy))
	a.must(t, err)
	a.must(t, a.dir.Reset(t.Context()))
	for _, want := range []string{"critical: HV02$ is trusted", "fix (samba-tool): samba-tool delegation for-any-service 'HV02$' off", "1 finding: 1 critical"} {
		if !strings.Contains(r.Stdout, want) || r.Status != 12 {
			t.Errorf("status %d, no %q in\n%s%s", r.Status, want, r.Stdout, r.Stderr)
		}
	}
	for flag, status := range map[string]int{"critical": 0, "error": 0, "warning": 10} {
		a.must(t, a.dir.AddDelegation(t.Context(), lab.HV01, "cifs/DC1"))
		if _, r := a.audit(t, auditPolicy, "--fail-on", flag); r.Status != status {
			t.Errorf("a warning with --fail-on %s: status %d", flag, r.Status)
		}
		a.must(t, a.dir.Reset(t.Context()))
	}
}

// testDuplicate: Samba refuses a name that another account has, when it is added. It
// is there all the same where it came by replication; here it is written below what
// refuses it, last, since nothing takes it away again.
func (a *audited) testDuplicate(t *testing.T) {
	name := strings.ToUpper(spn.Migration + "/HV02")
	if err := a.dir.Add(t.Context(), lab.UserDN(lab.UserViewer), "servicePrincipalName", name); err == nil {
		t.Fatal("Samba takes a service name twice")
	}
	partition := "/var/lib/samba/private/sam.ldb.d/" + strings.ToUpper(lab.BaseDN) + ".ldb"
	cmd := a.Member(lab.DC1).Command(t.Context(), "ldbmodify", "-H", partition)
	cmd.Stdin = strings.NewReader("dn: " + lab.UserDN(lab.UserViewer) + "\nchangetype: modify\nadd: servicePrincipalName\nservicePrincipalName: " + name + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a.must(t, a.dir.ChangeFlags(t.Context(), lab.UserDN(lab.UserViewer), lab.FlagDisabled, 0))
	report, r := a.audit(t, auditPolicy)
	if diff := cmp.Diff([]string{"error service-name-duplicate HV02$"}, briefly(report.Findings)); diff != "" || r.Status != 11 {
		t.Errorf("status %d\n%s", r.Status, diff)
	}
}

// TestWatchDirectory sees a change and its repair, and serves metrics.
func TestWatchDirectory(t *testing.T) {
	a := startAudited(t, lab.Options{Name: "watchdir"})
	a.must(t, a.dir.ChangeFlags(t.Context(), lab.HostDN(lab.HV02), lab.FlagTrustedForDelegate, 0))
	w := a.watch(t)
	w.expect(audit.Appeared, "critical unconstrained-delegation HV02$")
	a.must(t, a.dir.RemoveDelegation(t.Context(), lab.HV01, "cifs/HV03"))
	w.expect(audit.Appeared, "error delegation-incomplete HV01$")
	w.metric(`drover_directory_findings{code="delegation-incomplete",severity="error"} 1`)
	// Somebody who is no part of the policy changes, and nothing is told of it.
	a.must(t, a.dir.Replace(t.Context(), lab.UserDN(lab.UserViewer), "description", "works elsewhere"))
	a.must(t, a.dir.Reset(t.Context()))
	// Two accounts are put back one after the other, and the watch may look in between.
	w.expect(audit.Cleared, "critical unconstrained-delegation HV02$", "error delegation-incomplete HV01$")
	// Membership is on the group alone.
	a.must(t, a.dir.AddToGroup(t.Context(), lab.UserOperator, "Protected Users"))
	w.expect(audit.Appeared, "error operator-sensitive operator")
	a.must(t, a.dir.RemoveFromGroup(t.Context(), lab.UserOperator, "Protected Users"))
	w.expect(audit.Cleared, "error operator-sensitive operator")

	a.must(t, a.StopDirectory(t.Context()))
	w.expect(audit.Failing, "")
	a.must(t, a.StartDirectory(t.Context(), 0))
	a.must(t, a.dir.ChangeFlags(t.Context(), lab.HostDN(lab.HV03), lab.FlagDisabled, 0))
	w.expect(audit.Appeared, "error host-account-disabled HV03$")
	w.end()
}

// watched is a running `drover delegation watch -o json`.
type watched struct {
	t      *testing.T
	lab    *lab.Lab
	cmd    *exec.Cmd
	events chan audit.Event
}

func (a *audited) watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, lab: a.Lab, events: make(chan audit.Event, 100)}
	path := a.policy(t, auditPolicy+"operators: [operator]\n")
	w.cmd = a.DroverCommand(t.Context(), lab.UserNobody, "delegation", "watch", "--policy", path, "--interval", "1s", "--listen", "127.0.0.1:9603", "-o", "json")
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.events)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e audit.Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Errorf("no event: %q", lines.Text())
			}
			w.events <- e
		}
	}()
	t.Cleanup(func() {
		_ = w.cmd.Cancel()
		_ = w.cmd.Wait()
	})
	return w
}

// expect waits for events of a kind, in any order, "" for one of any finding; others of
// kind failing may come before them.
func (w *watched) expect(kind audit.EventKind, what ...string) {
	w.t.Helper()
	deadline := time.After(90 * time.Second)
	for len(what) > 0 {
		select {
		case e, more := <-w.events:
			got := strings.Join(briefly([]finding.Finding{e.Finding}), "")
			i := slices.IndexFunc(what, func(s string) bool { return s == "" || s == got })
			switch {
			case !more:
				w.t.Fatal("the watch has ended")
			case e.Kind == kind && i >= 0:
				what = slices.Delete(what, i, i+1)
			case e.Kind != audit.Failing:
				w.t.Fatalf("%s %s, want %s %q", e.Kind, got, kind, what)
			}
		case <-deadline:
			w.t.Fatalf("nothing came, want %s %q", kind, what)
		}
	}
}

func (w *watched) metric(line string) {
	w.t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: w.lab.Member(lab.MGMT).Dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := c.Get("http://127.0.0.1:9603/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var all []string
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		all = append(all, lines.Text())
	}
	if !slices.Contains(all, line) {
		w.t.Errorf("no line %s in\n%s", line, strings.Join(all, "\n"))
	}
}

// end asks the watch to end, which is a good end.
func (w *watched) end() {
	w.t.Helper()
	if _, err := w.lab.Member(lab.MGMT).Run(w.t.Context(), "pkill", "-TERM", "-x", "drover"); err != nil {
		w.t.Fatal(err)
	}
	for range w.events { // what is left is of no interest
	}
	if err := w.cmd.Wait(); err != nil {
		w.t.Errorf("it ended with %v", err)
	}
}
