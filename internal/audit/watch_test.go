package audit

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
)

// watching runs a watcher one look at a time: between two looks the test changes the
// world. Nothing happens by itself, so nothing has to be waited for by the clock.
type watching struct {
	t      *testing.T
	w      *world
	now    time.Time
	ticks  chan time.Time
	paused chan time.Duration // the watcher has ended a look and waits this long
	events []Event
	opened int
	refuse error // of Connect
	done   chan error
	cancel context.CancelFunc
}

func watch(t *testing.T, w *world, text string) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	x := &watching{t: t, w: w, now: time.Unix(1_800_000_000, 0), ticks: make(chan time.Time), paused: make(chan time.Duration),
		done: make(chan error, 1), cancel: cancel}
	p := policy(t, text)
	go func() {
		x.done <- Watch(ctx, p, WatchOptions{Interval: 30 * time.Second, Full: time.Hour,
			Connect: func(context.Context) (Directory, func(), error) {
				if x.refuse != nil {
					return nil, nil, x.refuse
				}
				x.opened++
				return w, func() {}, nil
			},
			Tick: func(d time.Duration) <-chan time.Time {
				select {
				case x.paused <- d:
				case <-ctx.Done():
				}
				return x.ticks
			},
			Now:  func() time.Time { return x.now },
			Sink: func(e Event) { x.events = append(x.events, e) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-x.done; err != nil {
			t.Errorf("the watch ended with %v", err)
		}
	})
	return x
}

// wait gives the end of a look: how long the watcher pauses, and what it told.
func (x *watching) wait() (time.Duration, []string) {
	x.t.Helper()
	select {
	case d := <-x.paused:
		var told []string
		for _, e := range x.events {
			told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.Finding.Code, e.Finding.Object)))
		}
		x.events = nil
		return d, told
	case err := <-x.done:
		x.done <- err
		x.t.Fatalf("the watch ended: %v", err)
	}
	return 0, nil
}

// next lets the interval pass and gives what the following look tells.
func (x *watching) next() []string {
	x.t.Helper()
	x.now = x.now.Add(30 * time.Second)
	x.ticks <- x.now
	_, told := x.wait()
	return told
}

func (x *watching) want(got []string, want ...string) {
	x.t.Helper()
	if !slices.Equal(got, want) {
		x.t.Errorf("told %q, want %q", got, want)
	}
}

func TestWatchTellsWhatAppearsAndWhatIsCured(t *testing.T) {
	w := newWorld(2)
	w.account("HV02$").EncryptionTypes = 4
	x := watch(t, w, "")
	d, told := x.wait()
	x.want(told, "appeared host-without-aes HV02$", "round")
	if d != 30*time.Second {
		t.Errorf("pauses %s", d)
	}
	w.change("HV01$", func(a *directory.Account) { a.Flags |= directory.FlagTrustedForAny })
	x.want(x.next(), "appeared unconstrained-delegation HV01$", "round")
	x.want(x.next(), "round")
	w.change("HV01$", func(a *directory.Account) { a.Flags &^= directory.FlagTrustedForAny })
	w.change("HV02$", func(a *directory.Account) { a.EncryptionTypes = 24 })
	x.want(x.next(), "cleared unconstrained-delegation HV01$", "cleared host-without-aes HV02$", "round")
}

func TestAQuietDirectoryCostsOneSmallSearch(t *testing.T) {
	w := newWorld(3)
	x := watch(t, w, "operators: [alice]")
	x.wait()
	clear(w.asked)
	for range 5 {
		x.next()
	}
	if len(w.asked) != 1 || w.asked["Changes"] != 5 {
		t.Errorf("asked %v", w.asked)
	}
}

func TestPeopleWhoSignInAreNoReasonToCheck(t *testing.T) {
	w := newWorld(2)
	for i := range 2000 {
		w.addUser(fmt.Sprintf("user%d", i), 0)
	}
	p, seen := policy(t, ""), []Event{}
	x := &watcher{p: p, known: map[string]finding.Finding{}, o: WatchOptions{Interval: time.Second, Full: time.Hour, Now: time.Now,
		Connect: func(context.Context) (Directory, func(), error) { return w, func() {}, nil }, Sink: func(e Event) { seen = append(seen, e) }}}
	for _, n := range []int{0, 10, 2000} { // few are read one by one, many by reading what matters anew
		for i := range n {
			w.touch(fmt.Sprintf("CN=user%d,CN=Users,%s", i, base))
		}
		w.touch(w.account("HV01$").DN) // and a host has renewed its password
		if err := x.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if x.snap.USN != w.usn || x.checks != 1 || len(x.snap.Accounts) != 2 {
			t.Errorf("after %d: USN %d of %d, %d checks, %d accounts", n, x.snap.USN, w.usn, x.checks, len(x.snap.Accounts))
		}
	}
	if x.complete != 2 {
		t.Errorf("%d complete readings", x.complete)
	}
}

func TestAnAccountThatBeginsToMatterIsSeen(t *testing.T) {
	w := newWorld(2)
	w.addUser("svc", 0)
	w.addUser("alice", 0)
	x := watch(t, w, "operators: [alice, bob]")
	_, told := x.wait()
	x.want(told, "appeared operator-not-in-directory bob", "round")
	w.change("svc", func(a *directory.Account) { a.ServiceNames = []string{"cifs/hv02"} })
	w.account("HV02$").ServiceNames = append(w.account("HV02$").ServiceNames, "cifs/HV02")
	w.touch(w.account("HV02$").DN)
	x.want(x.next(), "appeared service-name-duplicate HV02$", "round")
	w.change("svc", func(a *directory.Account) {
		a.ServiceNames, a.DelegateTo = nil, names(1, "cifs")
	})
	x.want(x.next(), "cleared service-name-duplicate HV02$", "appeared delegation-wrong-object svc", "round")
	w.touch(w.addUser("bob", directory.FlagNotDelegated).DN)
	x.want(x.next(), "cleared operator-not-in-directory bob", "appeared operator-sensitive bob", "round")
}

func TestMembershipIsSeenOnTheGroup(t *testing.T) {
	w := newWorld(2)
	alice := w.addUser("alice", directory.FlagNotDelegated)
	g := w.addGroup("VM Operators")
	x := watch(t, w, "operators: ['VM Operators']")
	_, told := x.wait()
	x.want(told, "round")
	g.Members = []string{alice.DN}
	w.touch(g.DN)
	x.want(x.next(), "appeared operator-sensitive alice", "round")
	// Protected Users: only that group changes, not who is in it.
	pu := w.addGroup("Protected Users", alice.DN)
	alice.Flags &^= directory.FlagNotDelegated
	w.touch(alice.DN)
	x.want(x.next(), "cleared operator-sensitive alice", "round")
	alice.Protected = true
	w.touch(pu.DN)
	x.want(x.next(), "appeared operator-sensitive alice", "round")
	g.Members = nil
	w.touch(g.DN)
	x.want(x.next(), "cleared operator-sensitive alice", "round")
}

func TestDeletedAndRenamedAccounts(t *testing.T) {
	w := newWorld(3)
	x := watch(t, w, "hosts: [HV01, HV02]")
	x.wait()
	w.account("HV01$").DelegateTo, w.account("HV02$").DelegateTo = names(2, "Microsoft Virtual System Migration Service", "cifs"), names(1, "Microsoft Virtual System Migration Service", "cifs")
	w.touch(w.account("HV01$").DN, w.account("HV02$").DN)
	if told := x.next(); !slices.Contains(told, "cleared delegation-extra HV01$") {
		t.Errorf("%q", told)
	}
	// It moves to another container: the same account, by its SID.
	w.change("HV02$", func(a *directory.Account) { a.DN = "CN=HV02,OU=Hosts," + base })
	x.want(x.next(), "round")
	gone := w.account("HV02$")
	w.accounts = slices.DeleteFunc(w.accounts, func(a *directory.Account) bool { return a == gone })
	w.usn++
	w.changed = append(w.changed, directory.Changed{DN: `CN=HV02\0ADEL:3f2b,CN=Deleted Objects,` + base, USN: w.usn, Deleted: true},
		directory.Changed{DN: `CN=someone\0ADEL:77,CN=Deleted Objects,` + base, USN: w.usn, Deleted: true})
	if told := x.next(); !slices.Contains(told, "appeared host-not-in-directory HV02") {
		t.Errorf("%q", told)
	}
}

func TestABrokenConnectionIsMadeAnewWithGrowingPauses(t *testing.T) {
	w := newWorld(2)
	x := watch(t, w, "")
	x.wait()
	w.failure = errGone
	x.want(x.next(), "failing")
	x.refuse = errGone
	var last time.Duration
	for range 8 {
		x.now = x.now.Add(time.Minute)
		x.ticks <- x.now
		d, told := x.wait()
		x.want(told, "failing")
		last = d
	}
	if last < 5*time.Second || last > 2*time.Minute {
		t.Errorf("after nine failures it pauses %s", last)
	}
	// What happened meanwhile is seen, by the changes since then.
	w.failure, x.refuse = nil, nil
	w.change("HV01$", func(a *directory.Account) { a.Flags |= directory.FlagTrustedForAny })
	clear(w.asked)
	x.want(x.next(), "appeared unconstrained-delegation HV01$", "round")
	if x.opened != 2 || w.asked["Accounts"] != 1 {
		t.Errorf("%d connections, asked %v", x.opened, w.asked)
	}
}

func TestAnotherControllerIsReadFromTheStart(t *testing.T) {
	w := newWorld(2)
	x := watch(t, w, "")
	x.wait()
	w.failure = errGone
	x.want(x.next(), "failing")
	w.failure = nil
	w.root.InvocationID, w.root.Server, w.usn = "second", "dc2.lab.drover.test", 7 // USNs are its own
	w.account("HV01$").Flags |= directory.FlagTrustedForAny
	x.want(x.next(), "appeared unconstrained-delegation HV01$", "round")
	w.changed = nil
	w.change("HV01$", func(a *directory.Account) { a.Flags &^= directory.FlagTrustedForAny })
	x.want(x.next(), "cleared unconstrained-delegation HV01$", "round")
}

// Not everybody may read which copy of the directory USNs belong to.
func TestAnotherControllerIsKnownByItsName(t *testing.T) {
	w := newWorld(2)
	w.root.InvocationID = ""
	x := watch(t, w, "")
	x.wait()
	w.failure = errGone
	x.want(x.next(), "failing")
	w.failure = nil
	w.root.Server, w.usn = "dc2.lab.drover.test", 7
	w.account("HV01$").Flags |= directory.FlagTrustedForAny
	x.want(x.next(), "appeared unconstrained-delegation HV01$", "round")
}

func TestACompleteReadingSeesWhatUSNsDoNotTell(t *testing.T) {
	w := newWorld(2)
	x := watch(t, w, "")
	x.wait()
	w.account("HV01$").Flags |= directory.FlagTrustedForAny
	x.want(x.next(), "round")
	x.now = x.now.Add(time.Hour)
	x.want(x.next(), "appeared unconstrained-delegation HV01$", "round")
}

func TestAnErrorOfTheFirstLookEndsTheWatch(t *testing.T) {
	refused := fault.New(fault.DirectorySignIn, "", "server", "dc1", "principal", "alice", "reason", "no")
	err := Watch(t.Context(), policy(t, ""), WatchOptions{Sink: func(e Event) { t.Errorf("told %+v", e) },
		Connect: func(context.Context) (Directory, func(), error) { return nil, nil, refused }})
	if !fault.Is(err, fault.DirectorySignIn) {
		t.Errorf("%v", err)
	}
}

func TestAWatchThatIsEndedHasEndedWell(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	closed := 0
	err := Watch(ctx, policy(t, ""), WatchOptions{Interval: time.Hour, Sink: func(Event) { cancel() },
		Connect: func(context.Context) (Directory, func(), error) { return newWorld(2), func() { closed++ }, nil }})
	if err != nil || closed != 1 {
		t.Errorf("%v, closed %d times", err, closed)
	}
}

func TestMetricsFollowTheEvents(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := NewMetrics(reg)
	bad := finding.Finding{Code: fault.Unconstrained, Severity: finding.Critical}
	for _, e := range []Event{{Kind: Appeared, Finding: bad}, {Kind: Appeared, Finding: bad}, {Kind: Round, Time: time.Unix(1_800_000_000, 5e8), USN: 4711},
		{Kind: Failing}, {Kind: Cleared, Finding: bad}} {
		m.Observe(e)
	}
	page := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`drover_directory_findings{code="unconstrained-delegation",severity="critical"} 1`,
		"drover_directory_usn 4711",
		"drover_directory_watch_failures_total 1",
		"drover_directory_watch_last_success_timestamp_seconds 1.8000000005e+09",
		"drover_directory_watch_rounds_total 1",
	} {
		if !strings.Contains(page.Body.String(), "\n"+want+"\n") {
			t.Errorf("no line %s in\n%s", want, page.Body)
		}
	}
}
