package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"drover/internal/directory"
	"drover/internal/doctor"
	"drover/internal/fault"
	"drover/internal/version"
	"drover/lab"
)

// ScaleOptions say how the doctor is tried on a large domain.
type ScaleOptions struct {
	Lab    lab.Options
	Hosts  int
	Out    string // file for the report
	Stderr io.Writer
}

// Scale is what the doctor took in a large domain.
type Scale struct {
	Time    time.Time `json:"time"`
	Version string    `json:"version"`
	Hosts   int       `json:"hosts"`
	Values  int       `json:"values"` // in all lists of delegation together
	Looks   []Look    `json:"looks"`
}

// Look is one run of `drover doctor` over all hosts.
type Look struct {
	Name    string        `json:"name"`
	Seconds float64       `json:"seconds"` // of the whole program
	Found   []fault.Code  `json:"found"`
	Wanted  []fault.Code  `json:"wanted"`
	Checked int           `json:"checked"`
	Target  time.Duration `json:"target"`
}

// Passed says that the look found what was broken and nothing else, in time.
func (l Look) Passed() bool {
	return sameCodes(l.Found, l.Wanted) && (l.Target == 0 || l.Seconds < l.Target.Seconds())
}

// scaleTarget is how long all hosts may take.
const scaleTarget = 30 * time.Second

// scaleNetwork is where DNS has the hosts. The controller's machine answers for all of
// it: that nothing listens there, as with a Windows host whose firewall refuses.
var scaleNetwork = netip.MustParsePrefix("10.78.0.0/22")

// RunScale raises a lab without hosts, puts many into its directory, and looks at all of
// them: while nothing is wrong, with some things broken, and while none answers.
func RunScale(ctx context.Context, o ScaleOptions) (failed int, err error) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(o.Stderr, format+"\n", args...) }
	o.Lab.Hosts, o.Lab.NoAgents, o.Lab.Tied = []string{}, true, true
	o.Lab.Progress = func(format string, args ...any) { say("# "+format, args...) }
	l, err := lab.Up(ctx, o.Lab)
	if err != nil {
		return 0, err
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if e := l.Down(cleanup); err == nil {
			err = e
		}
	}()
	w := New(l, false)
	s := &Scale{Time: time.Now().UTC(), Version: version.String(), Hosts: o.Hosts, Values: o.Hosts * len(lab.DelegationTo(meshOf(o.Hosts)[1:]...))}
	say("# %d hosts, %d values of delegation", s.Hosts, s.Values)
	if err := w.populate(ctx, o.Hosts); err != nil {
		return 0, err
	}
	for _, step := range scaleSteps(o.Hosts) {
		if err := step.before(ctx, w); err != nil {
			return failed, fmt.Errorf("%s: %w", step.Name, err)
		}
		look, err := w.lookAtAll(ctx, step.Look, o.Hosts)
		if err != nil {
			return failed, err
		}
		s.Looks = append(s.Looks, look)
		say("%s", look)
		if !look.Passed() {
			failed++
		}
	}
	return failed, s.write(o.Out)
}

func meshOf(n int) (names []string) {
	for i := range n {
		names = append(names, lab.PopulationHost(i+1))
	}
	return names
}

// populate makes the hosts, and an address for each that answers.
func (w *World) populate(ctx context.Context, n int) error {
	if err := w.Populate(ctx, lab.Population{Hosts: n, Mesh: true, Network: scaleNetwork, System: "Windows Server 2025 Datacenter"}); err != nil {
		return err
	}
	if err := w.run(ctx, lab.DC1, "ip", "route", "add", "local", scaleNetwork.String(), "dev", "lo"); err != nil {
		return err
	}
	return w.run(ctx, lab.MGMT, "ip", "route", "add", scaleNetwork.String(), "via", w.Member(lab.DC1).Address(lab.Management))
}

type scaleStep struct {
	Look
	before func(context.Context, *World) error
}

func scaleSteps(hosts int) []scaleStep {
	dn := lab.PopulationHostDN
	broken := all(
		remove(dn(3), directory.AttributeDelegateTo, migration+"/"+lab.PopulationHost(7)),
		remove(dn(11), directory.AttributeServiceNames, pick(lab.ServiceNames(lab.PopulationHost(11), migration), isShort)...),
		flags(dn(42), lab.FlagDisabled, 0),
		replace(dn(57), directory.AttributeEncryptionTypes, "4"),
	)
	healthy := Look{Name: "nothing is wrong", Wanted: []fault.Code{}, Target: scaleTarget}
	some := Look{Name: "four hosts have something wrong", Target: scaleTarget,
		Wanted: []fault.Code{fault.DelegationIncomplete, fault.ServiceNameMissing, fault.HostAccountDisabled, fault.HostWithoutAES}}
	silent := Look{Name: "the same, and no host answers", Wanted: slices.Concat(some.Wanted, slices.Repeat([]fault.Code{fault.HostSilent}, hosts)), Target: scaleTarget}
	deaf := command(lab.DC1, "iptables", "-A", "INPUT", "-d", scaleNetwork.String(), "-j", "DROP")
	return []scaleStep{{healthy, nothing}, {some, broken}, {silent, deaf}}
}

// lookAtAll runs the doctor as a person would, by the clock on the wall.
func (w *World) lookAtAll(ctx context.Context, l Look, hosts int) (Look, error) {
	if err := w.signIn(ctx, lab.MGMT, lab.UserOperator); err != nil {
		return l, err
	}
	cmd := w.DroverCommand(ctx, lab.UserOperator, append([]string{"doctor", "-o", "json"}, meshOf(hosts)...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	runErr := cmd.Run()
	l.Seconds = time.Since(start).Seconds()
	var r doctor.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return l, fmt.Errorf("drover printed no report: %w: %v: %s", err, runErr, errs.String())
	}
	l.Checked, l.Found = len(r.Checked), []fault.Code{}
	for _, c := range r.Causes {
		l.Found = append(l.Found, c.Code)
	}
	return l, nil
}

// String is one line for whoever watches.
func (l Look) String() string {
	state := "ok  "
	if !l.Passed() {
		state = "FAIL"
	}
	return fmt.Sprintf("%s %s: %.1f s, %d findings, %d checks %v", state, l.Name, l.Seconds, len(l.Found), l.Checked, l.Found[:min(len(l.Found), 12)])
}

func (s *Scale) write(path string) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}

// sameCodes compares them whatever their order.
func sameCodes(a, b []fault.Code) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
