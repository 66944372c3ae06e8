package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"drover/internal/finding"
)

// roundLimit is how long one look may take, a complete reading of a large directory
// included. A controller that answers nothing is left then.
const roundLimit = 2 * time.Minute

// Watch audits at once and then whenever the directory changed, until ctx ends,
// which is no error. A quiet directory costs one small search per interval.
//
// An error of the first look ends it: a wrong password or a policy that cannot be
// carried out is nothing to wait for. Later ones are told as Failing, and the
// connection is made anew.
func Watch(ctx context.Context, p *Policy, o WatchOptions) error {
	if o.Tick == nil {
		o.Tick = time.After
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &watcher{p: p, o: o, known: map[string]finding.Finding{}}
	defer w.disconnect()
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = time.Second, max(o.Interval, time.Minute)
	for first := true; ; first = false {
		err := w.round(ctx)
		pause := o.Interval
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			w.o.Sink(Event{Time: w.o.Now(), Kind: Failing, Error: err.Error(), USN: w.usn()})
			pause = pauses.NextBackOff()
		default:
			pauses.Reset()
			w.o.Sink(Event{Time: w.o.Now(), Kind: Round, USN: w.usn()})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.o.Tick(pause):
		}
	}
}

// watcher is what Watch knows from one look to the next.
type watcher struct {
	p *Policy
	o WatchOptions

	d          Directory // nil when there is no connection
	close      func()
	invocation string // of the controller's copy of the directory, to which USNs belong; "" if it may not be read
	server     string // the controller

	snap     *Snapshot
	full     time.Time // of the last complete reading
	dirty    bool      // snap is not checked yet
	known    map[string]finding.Finding
	complete int // complete readings and checks, for tests
	checks   int
}

func (w *watcher) usn() int64 {
	if w.snap == nil {
		return 0
	}
	return w.snap.USN
}

// round is one look. The snapshot is replaced only as a whole, so that a connection
// that breaks leaves what is known, and the changes are asked for again.
func (w *watcher) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, roundLimit, fmt.Errorf("the directory did not answer within %s", roundLimit))
	defer cancel()
	if err := w.look(ctx); err != nil {
		w.disconnect()
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%w: %w", cause, err)
		}
		return err
	}
	if !w.dirty {
		return nil
	}
	return w.check()
}

// look brings the snapshot up to date.
func (w *watcher) look(ctx context.Context) error {
	if err := w.connect(ctx); err != nil {
		return err
	}
	if w.snap == nil || w.snap.Root.InvocationID != w.invocation || w.snap.Root.Server != w.server || w.o.Full > 0 && w.o.Now().Sub(w.full) >= w.o.Full {
		return w.readAll(ctx)
	}
	changed, err := w.d.Changes(ctx, w.snap.USN)
	if err != nil || len(changed) == 0 {
		return err
	}
	if len(changed) > manyChanges || w.concernsDeleted(changed) {
		return w.readAll(ctx)
	}
	return w.readChanged(ctx, changed)
}

func (w *watcher) connect(ctx context.Context) error {
	if w.d != nil {
		return nil
	}
	d, closer, err := w.o.Connect(ctx)
	if err != nil {
		return err
	}
	w.d, w.close = d, closer
	root, err := d.Root(ctx)
	if err != nil {
		return err
	}
	w.invocation, w.server = root.InvocationID, root.Server
	return nil
}

func (w *watcher) disconnect() {
	if w.close != nil {
		w.close()
	}
	w.d, w.close = nil, nil
}

func (w *watcher) readAll(ctx context.Context) error {
	now := w.o.Now()
	s, err := load(ctx, w.d, w.p, now)
	if err != nil {
		return err
	}
	w.complete++
	w.take(s)
	w.full = now
	return nil
}

// take makes s what is known. It is to be checked when it says something else than
// before.
func (w *watcher) take(s *Snapshot) {
	if w.snap == nil || !sameContent(w.snap, s) {
		w.dirty = true
	}
	w.snap = s
}

// check compares what is found with what was, and tells the difference.
func (w *watcher) check() error {
	found, err := Check(w.p, w.snap)
	if err != nil {
		return err
	}
	w.checks++
	w.dirty = false
	now, is := w.o.Now(), make(map[string]finding.Finding, len(found))
	for _, f := range found {
		is[f.Key()] = f
	}
	var gone []finding.Finding
	for k, f := range w.known {
		if _, still := is[k]; !still {
			gone = append(gone, f)
		}
	}
	finding.Sort(gone)
	for _, f := range gone {
		w.o.Sink(Event{Time: now, Kind: Cleared, Finding: f, USN: w.snap.USN})
	}
	for _, f := range found {
		if _, was := w.known[f.Key()]; !was {
			w.o.Sink(Event{Time: now, Kind: Appeared, Finding: f, USN: w.snap.USN})
		}
	}
	w.known = is
	return nil
}

// sameContent says that two snapshots give the same findings: they differ at most
// in when they were read, and in what no finding is about.
func sameContent(a, b *Snapshot) bool {
	if a.Root != b.Root || len(a.Accounts) != len(b.Accounts) || len(a.Groups) != len(b.Groups) || !slices.Equal(a.Mappings, b.Mappings) {
		return false
	}
	accounts := make(map[string]string, len(a.Accounts))
	for i := range a.Accounts {
		accounts[identity(&a.Accounts[i])] = accountContent(&a.Accounts[i])
	}
	for i := range b.Accounts {
		if was, ok := accounts[identity(&b.Accounts[i])]; !ok || was != accountContent(&b.Accounts[i]) {
			return false
		}
	}
	groups := make(map[string]string, len(a.Groups))
	for _, g := range a.Groups {
		groups[strings.ToLower(g.DN)] = groupContent(g.Name, g.SID, g.Members)
	}
	for _, g := range b.Groups {
		if was, ok := groups[strings.ToLower(g.DN)]; !ok || was != groupContent(g.Name, g.SID, g.Members) {
			return false
		}
	}
	return true
}

func groupContent(name, sid string, members []string) string {
	return fmt.Sprintf("%q %q %q", name, sid, slices.Sorted(slices.Values(members)))
}
