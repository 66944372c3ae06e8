package stream

import (
	"context"
	"errors"
	"net"
	"sync"

	"drover/internal/fault"
)

// Relay joins a stream and a local socket. Bytes go both ways, and so does the
// end of each direction: EOF of one side becomes CloseWrite on the other. It
// returns when both directions have ended and the peer has confirmed it, or on
// the first failure, which the peer gets to see. Both sides are closed then and
// no goroutine is left. The end of ctx ends it with the cause of ctx.
//
// The error is the first that occurred; one of local's is a peer-gone that names
// the local socket.
func Relay(ctx context.Context, s *Stream, local net.Conn) (Counters, error) {
	r := relay{s: s, local: local, cut: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() {
		defer close(r.cut)
		r.fail(context.Cause(ctx))
	})
	var wg sync.WaitGroup
	wg.Go(func() { r.fail(r.up()) })
	wg.Go(func() { r.fail(r.down()) })
	wg.Wait()
	r.fail(s.Finish(ctx))
	if !stop() {
		<-r.cut
	}
	s.Close()
	local.Close()
	return s.Counters(), r.err
}

type relay struct {
	s     *Stream
	local net.Conn
	cut   chan struct{}
	once  sync.Once
	err   error
}

// up carries what the local program writes.
func (r *relay) up() error {
	if r.s.coding.Tuner != nil {
		if err := r.code(); err != nil {
			return err
		}
	} else if _, err := r.s.ReadFrom(r.local); err != nil {
		return r.name(err)
	}
	return r.s.CloseWrite()
}

// code carries what the local program writes as the stream's Coding says.
func (r *relay) code() error {
	u := newSender(r.s, r.local)
	defer u.close()
	var writer sync.WaitGroup
	writer.Go(func() { u.write(r.fail) })
	err := u.read()
	if err != nil {
		err = r.name(err)
		r.fail(err) // now: the writer can be stuck
	}
	writer.Wait()
	if err == nil {
		err = u.err
	}
	return err
}

// down carries what the peer sends.
func (r *relay) down() error {
	if _, err := r.s.WriteTo(r.local); err != nil {
		return r.name(err)
	}
	if c, ok := r.local.(interface{ CloseWrite() error }); ok {
		if err := c.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
			return r.name(localError{err})
		}
	}
	return nil
}

// fail keeps the first error and makes both directions end.
func (r *relay) fail(err error) {
	if err == nil {
		return
	}
	r.once.Do(func() {
		r.err = err
		r.local.Close() // first: Abort can take a moment
		r.s.Abort(err)
	})
}

func (r *relay) name(err error) error {
	var le localError
	if !errors.As(err, &le) {
		return err
	}
	var told *fault.Error
	if errors.As(le.error, &told) { // the local end is more than a socket, and says what it is
		return le.error
	}
	name := r.local.RemoteAddr().String()
	if name == "" || name == "@" {
		name = r.local.LocalAddr().String()
	}
	return fault.Wrap(le.error, fault.SocketLost, r.s.link.who.host, "socket", name)
}
