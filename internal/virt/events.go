package virt

import (
	"context"
	"sync"
	"time"

	lv "github.com/digitalocean/go-libvirt"
)

// EventKind is what happened to a domain.
type EventKind int

// Kinds of events, as virDomainEventType numbers them.
const (
	EventDefined EventKind = iota
	EventUndefined
	EventStarted
	EventSuspended
	EventResumed
	EventStopped
	EventShutdown
	EventPMSuspended
	EventCrashed
)

// Event is a change in a domain's life.
type Event struct {
	// At is when this process received it.
	At         time.Time
	Name, UUID string
	Kind       EventKind
	// Detail is libvirt's number, its meaning depends on Kind.
	Detail int
	// Migration says that a suspension or a resumption belongs to a migration.
	Migration bool
}

// Watch receives lifecycle events of all domains on a connection of its own.
type Watch struct {
	c      *conn
	cancel context.CancelFunc
	out    chan Event
	done   chan struct{}
	once   sync.Once
}

// Watch begins to receive. Events must be drained until Close; they are queued
// without bound by the client library, so a slow reader blocks nobody.
func (h *Host) Watch(ctx context.Context) (*Watch, error) {
	c, err := h.dial(ctx)
	if err != nil {
		return nil, err
	}
	wctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &Watch{c: c, cancel: cancel, out: make(chan Event, 16), done: make(chan struct{})}
	var events <-chan lv.DomainEventLifecycleMsg
	cctx, end := context.WithTimeout(ctx, h.timeout)
	defer end()
	err = c.call(cctx, func(l *lv.Libvirt) (err error) {
		events, err = l.LifecycleEvents(context.WithoutCancel(ctx))
		return err
	})
	if err != nil {
		cancel()
		c.close()
		return nil, err
	}
	go w.receive(wctx, events)
	return w, nil
}

func (w *Watch) receive(ctx context.Context, events <-chan lv.DomainEventLifecycleMsg) {
	defer close(w.done)
	defer close(w.out)
	for m := range events {
		select {
		case w.out <- convertEvent(m):
		case <-ctx.Done():
			// The library's goroutine may be about to send one more.
		}
	}
}

func convertEvent(m lv.DomainEventLifecycleMsg) Event {
	e := Event{At: time.Now(), Name: m.Dom.Name, UUID: formatUUID(m.Dom.UUID), Kind: EventKind(m.Event), Detail: int(m.Detail)}
	switch e.Kind {
	case EventSuspended:
		e.Migration = lv.DomainEventSuspendedDetailType(m.Detail) == lv.DomainEventSuspendedMigrated
	case EventResumed:
		e.Migration = lv.DomainEventResumedDetailType(m.Detail) == lv.DomainEventResumedMigrated
	}
	return e
}

// Events ends when the watch is closed or its connection is lost.
func (w *Watch) Events() <-chan Event { return w.out }

// Close ends the watch; safe twice. It ends the connection and not the
// library's subscription: go-libvirt ends the subscription's queue before it
// deregisters, and an event between the two blocks its reader for ever, with
// the answer to the deregistration behind it.
func (w *Watch) Close() error {
	w.once.Do(func() {
		_ = w.c.raw.Close()
		w.cancel()
		<-w.done
		w.c.close()
	})
	return nil
}
