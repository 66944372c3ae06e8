package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/delegation"
	"drover/internal/fault"
)

// Of what was not tried the reason is the right one.
func TestWhyNoTicketWasTried(t *testing.T) {
	w := whole{site: newSite(four...)}
	for _, c := range []struct {
		name   string
		q      Question
		change func(*Doctor)
		want   string
	}{
		{"one host", Question{Hosts: four[:1]}, func(*Doctor) {}, "one host has no direction"},
		{"an end is not there", Question{Pairs: []delegation.Direction{{Source: "HV01", Destination: "HV77"}}}, func(*Doctor) {}, "the directory lacks one end"},
		{"no directory", Question{Hosts: four[:2]}, func(d *Doctor) {
			d.Directory = func(context.Context, string) (ExaminedDirectory, error) { return nil, errors.New("who knows") }
		}, "the directory was not read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := w.doctor(t)
			c.change(d)
			r := w.examine(t, d, c.q)
			i := slices.IndexFunc(r.NotChecked, func(x Check) bool { return x.What == "tickets in the operator's name" })
			if i < 0 || !strings.HasPrefix(r.NotChecked[i].Reason, c.want) {
				t.Errorf("%+v", r.NotChecked)
			}
		})
	}
}

// mute takes connections and says nothing.
func mute(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the system accepts, nobody reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// A port that takes the connection and nobody behind it is neither closed nor filtered.
func TestAgentThatHangsIsNeitherClosedNorFiltered(t *testing.T) {
	l := mute(t)
	for _, c := range []struct {
		name string
		dial func(ctx context.Context) (net.Conn, error)
		want fault.Code
	}{
		{"hangs", func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", l.Addr().String())
		}, fault.AgentHangs},
		{"closed", func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED }, fault.PortClosed},
		{"filtered", func(context.Context) (net.Conn, error) { return nil, os.ErrDeadlineExceeded }, fault.PortFiltered},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := whole{site: newSite("HV01")}
			d := w.doctor(t)
			d.AgentWait = 50 * time.Millisecond
			if err := os.WriteFile(d.Machine.HostsFile, []byte("192.0.2.1 hv01.lab.drover.test hv01\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			whole := d.Machine.Dial
			d.Machine.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if strings.HasSuffix(address, ":6601") {
					return c.dial(ctx)
				}
				return whole(ctx, network, address)
			}
			asked := 0
			d.Hello = func(ctx context.Context, _ netip.AddrPort) (Hello, error) {
				asked++
				conn, err := c.dial(ctx)
				if err != nil {
					return Hello{}, err
				}
				defer func() { _ = conn.Close() }()
				end, _ := ctx.Deadline()
				_ = conn.SetDeadline(end)
				_, err = conn.Read(make([]byte, 1))
				return Hello{}, err
			}
			d.Agent = func(context.Context, string) (Agent, error) {
				t.Error("it was asked again for its settings")
				return Agent{}, errors.New("no")
			}
			r := w.examine(t, d, Question{Hosts: []string{"HV01"}})
			if !slices.Equal(codesOf(r), []fault.Code{c.want}) {
				t.Fatalf("%q\n%+v", codesOf(r), r.Causes)
			}
			if i := slices.IndexFunc(r.NotChecked, func(x Check) bool { return x.What == "settings" && x.Reason != "" }); i < 0 {
				t.Errorf("its settings have passed: %+v", r)
			}
			if f := r.Causes[0]; c.want == fault.AgentHangs && (asked != 2 || f.Host != "HV01" || len(f.Fix) != 1 || f.Fix[0].Line != "systemctl restart droverd" || !strings.Contains(f.Hint, "journalctl -u droverd")) {
				t.Errorf("asked %d times, %+v", asked, f)
			}
		})
	}
}

// An agent that was busy for a moment does not hang, and what answers with something
// else does not either.
func TestAgentThatAnswersTheSecondTimeDoesNotHang(t *testing.T) {
	for _, c := range []struct {
		errors []error
		who    string
	}{
		{[]error{context.DeadlineExceeded, nil}, "HV01"},
		{[]error{errors.New("another protocol")}, ""},
	} {
		asked := 0
		x := &examination{Doctor: &Doctor{Now: time.Now, Hello: func(context.Context, netip.AddrPort) (Hello, error) {
			asked++
			return Hello{Host: "HV01"}, c.errors[asked-1]
		}}}
		var r resident
		x.greet(t.Context(), &r)
		if r.hangs || r.who != c.who || asked != len(c.errors) {
			t.Errorf("%v: %+v, asked %d times", c.errors, r, asked)
		}
	}
}
