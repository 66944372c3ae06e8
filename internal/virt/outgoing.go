package virt

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lv "github.com/digitalocean/go-libvirt"

	"drover/internal/fault"
)

// abortWait bounds how long Perform waits for libvirt after an abort, before
// it gives the connection up (which ends the migration as well).
const abortWait = 30 * time.Second

// Outgoing is the source's half of a migration. It holds one connection for
// the calls, because libvirt ends the migration's job with it, and one for
// events.
type Outgoing struct {
	h   *Host
	c   *conn
	p   MigrationParams
	dom lv.Domain

	// mu guards watch, which is another one after the connection of the first was
	// lost; quit ends the looking for it. It guards changes of c as well.
	mu    sync.Mutex
	watch *Watch
	quit  chan struct{}

	// calls lets one of the calls in at a time: libvirtd 9.0 crashes when
	// Confirm comes while Perform has not returned. guarded is its holder's.
	calls   chan struct{}
	guarded bool

	// downtime, in nanoseconds, is the limit as it was last set; 0: QEMU's own.
	downtime atomic.Int64

	once      sync.Once
	suspended chan time.Time
	watched   chan struct{}
}

// enter waits until no other call is in flight.
func (o *Outgoing) enter(ctx context.Context) (leave func(), err error) {
	select {
	case o.calls <- struct{}{}:
		return func() { <-o.calls }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the migration call in flight: %w", context.Cause(ctx))
	}
}

// Outgoing connects and looks the domain up; nothing is changed before Begin.
func (h *Host) Outgoing(ctx context.Context, p MigrationParams) (*Outgoing, error) {
	w, err := h.Watch(ctx)
	if err != nil {
		return nil, err
	}
	c, err := h.dial(ctx)
	if err != nil {
		_ = w.Close()
		return nil, err
	}
	o := &Outgoing{h: h, c: c, p: p, watch: w, suspended: make(chan time.Time, 1), watched: make(chan struct{}), quit: make(chan struct{}), calls: make(chan struct{}, 1)}
	o.downtime.Store(int64(p.MaxDowntime))
	cctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	err = c.call(cctx, func(l *lv.Libvirt) (err error) {
		o.dom, err = lookup(l, p.UUID)
		return err
	})
	if err != nil {
		_ = w.Close()
		c.close()
		return nil, h.domainError(err, p.Name, "look up")
	}
	go o.follow()
	return o, nil
}

// follow waits for the moment at which QEMU stops the guest for the switchover,
// on another connection when the one of the events is lost. It ends with Close.
func (o *Outgoing) follow() {
	defer close(o.watched)
	uuid := formatUUID(o.dom.UUID)
	for w := o.watch; w != nil; w = o.watchAgain() {
		for e := range w.Events() {
			if e.UUID == uuid && e.Kind == EventSuspended && e.Migration {
				select {
				case o.suspended <- e.At:
				default:
				}
			}
		}
	}
}

// rewatch is how long a lost subscription waits before it is tried again.
const rewatch = 500 * time.Millisecond

// watchAgain takes the place of a watch whose connection was lost; nil at the
// end. What happened in between only Stats tells.
func (o *Outgoing) watchAgain() *Watch {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-o.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-stopped }()
	o.mu.Lock()
	old := o.watch
	o.mu.Unlock()
	_ = old.Close()
	for {
		select {
		case <-o.quit:
			return nil
		case <-time.After(rewatch):
		}
		w, err := o.h.Watch(ctx)
		if err != nil {
			o.h.log.Debug("no events of libvirt", "vm", o.p.Name, "error", err)
			continue
		}
		if o.adopt(w) {
			return w
		}
		_ = w.Close()
		return nil
	}
}

// adopt makes w the watch that Close ends, unless it was called.
func (o *Outgoing) adopt(w *Watch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case <-o.quit:
		return false
	default:
	}
	o.watch = w
	return true
}

// Suspended gives, once per stop, the time at which libvirt reported that the
// guest was stopped for the switchover.
func (o *Outgoing) Suspended() <-chan time.Time { return o.suspended }

// Begin protects the domain against changes and gives the cookie and the XML
// for Prepare. The end of the connection after Begin lifts the protection.
func (o *Outgoing) Begin(ctx context.Context) (cookie []byte, xml string, err error) {
	leave, err := o.enter(ctx)
	if err != nil {
		return nil, "", err
	}
	defer leave()
	cctx, cancel := context.WithTimeout(ctx, o.h.timeout)
	defer cancel()
	err = o.c.call(cctx, func(l *lv.Libvirt) error {
		var err error
		cookie, xml, err = l.DomainMigrateBegin3Params(o.dom, o.p.typed(), uint32(o.p.flags()))
		return err
	})
	if err == nil {
		err = checkCookie(cookie)
	}
	if hasCode(err, codeOperationInvalid) {
		if job, jerr := o.h.ActiveJob(ctx, o.p.UUID); jerr == nil && job != "" {
			return nil, "", fault.Wrap(err, fault.VMBusy, o.h.name, "vm", o.p.Name, "job", job)
		}
	}
	return cookie, xml, o.h.domainError(err, o.p.Name, "begin migration of")
}

// Perform sends the disks and the memory and blocks until the destination's
// QEMU has everything and the guest is stopped here; it gives the cookie for
// Finish. persistentXML, if not "", is what the destination is to define
// instead of this host's definition.
//
// When ctx ends, the migration is aborted and Perform waits (bounded) for
// libvirt to say so; an abort that comes too late gives Perform's success.
// After an error the guest runs on here once Confirm(cancelled) was called.
func (o *Outgoing) Perform(ctx context.Context, cookie []byte, persistentXML string) ([]byte, error) {
	if err := checkCookie(cookie); err != nil {
		return nil, err
	}
	leave, err := o.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if d := time.Duration(o.downtime.Load()); d > 0 {
		if err := o.SetMaxDowntime(ctx, d); err != nil {
			return nil, err
		}
	}
	type result struct {
		cookie []byte
		err    error
	}
	connCtx, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	done := make(chan result, 1)
	go func() {
		var r result
		r.err = o.c.call(connCtx, func(l *lv.Libvirt) (err error) {
			ps := o.p.typed()
			if persistentXML != "" {
				ps = append(ps, stringParam("persistent_xml", persistentXML))
			}
			r.cookie, err = l.DomainMigratePerform3Params(o.dom, nil, ps, cookie, o.p.flags())
			return err
		})
		done <- r
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		wait := abortWait
		if fault.Is(o.abort(context.WithoutCancel(ctx)), fault.HypervisorDown) {
			wait = 0
		}
		t := time.AfterFunc(wait, giveUp)
		r = <-done
		t.Stop()
		if r.err != nil {
			return nil, errors.Join(context.Cause(ctx), r.err)
		}
	}
	if r.err == nil {
		r.err = checkCookie(r.cookie)
	}
	return r.cookie, o.h.domainError(r.err, o.p.Name, "perform migration of")
}

// abort asks libvirt to end the job. Between Begin and the job's real start
// libvirt refuses that, so it is asked again for a short time. The error is the
// last answer.
func (o *Outgoing) abort(ctx context.Context) error {
	actx, cancel := context.WithTimeout(ctx, abortWait)
	defer cancel()
	for {
		err := o.h.AbortJob(actx, o.p.UUID)
		if err == nil || actx.Err() != nil || fault.Is(err, fault.HypervisorDown) {
			return err
		}
		if job, jerr := o.h.ActiveJob(actx, o.p.UUID); jerr != nil || job == "" {
			return jerr
		}
		o.h.log.Debug("abort refused, asking again", "vm", o.p.Name, "error", err)
		select {
		case <-actx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Confirm ends the migration at the source: without cancelled the domain is
// stopped and undefined, with cancelled the guest runs on. It takes a second
// or two, as it waits for QEMU to end. It waits for a Perform in flight.
// After Guard libvirt does all the same, since a migration that begins may go on to
// this: unlike Destroy it leaves the owners and labels of shared disks to the destination.
//
// libvirt takes it from this connection only: after a restart of the agent,
// Destroy and Undefine take its place, or Resume.
func (o *Outgoing) Confirm(ctx context.Context, cookie []byte, cancelled bool) error {
	if err := checkCookie(cookie); err != nil {
		return err
	}
	cctx, cancel := context.WithTimeout(ctx, o.h.long)
	defer cancel()
	leave, err := o.enter(cctx)
	if err != nil {
		return err
	}
	defer leave()
	if o.guarded && cancelled {
		return o.h.domainError(o.cancelGuard(cctx), o.p.Name, "confirm migration of")
	}
	err = o.c.call(cctx, func(l *lv.Libvirt) error {
		return l.DomainMigrateConfirm3Params(o.dom, o.p.typed(), cookie, uint32(o.p.flags()), boolInt(cancelled))
	})
	if cancelled && hasCode(err, codeOperationInvalid) {
		// "not being migrated": a Perform that failed ended the job itself.
		return nil
	}
	return o.h.domainError(err, o.p.Name, "confirm migration of")
}

// SetMaxDowntime changes QEMU's limit for the blackout, also of a migration that
// runs. It works in any phase after Begin.
func (o *Outgoing) SetMaxDowntime(ctx context.Context, d time.Duration) error {
	o.downtime.Store(int64(d))
	err := o.h.with(ctx, func(l *lv.Libvirt) error {
		return l.DomainMigrateSetMaxDowntime(o.dom, uint64(max(d.Milliseconds(), 1)), 0)
	})
	return o.h.domainError(err, o.p.Name, "set the downtime limit of")
}

// Close ends both connections; safe twice. Before Confirm this makes libvirt
// give the migration up, see docs/facts/libvirt.md for each phase.
func (o *Outgoing) Close() error {
	o.once.Do(func() {
		o.mu.Lock()
		close(o.quit)
		w, c := o.watch, o.c
		o.mu.Unlock()
		_ = w.Close()
		<-o.watched
		c.close()
	})
	return nil
}

// lookup finds a domain by UUID, or by name if s is not a UUID.
func lookup(l *lv.Libvirt, s string) (lv.Domain, error) {
	if u, ok := parseUUID(s); ok {
		return l.DomainLookupByUUID(u)
	}
	return l.DomainLookupByName(s)
}

func parseUUID(s string) (u lv.UUID, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, false
	}
	b, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
	if err != nil {
		return u, false
	}
	return lv.UUID(b), true
}

func formatUUID(u lv.UUID) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
