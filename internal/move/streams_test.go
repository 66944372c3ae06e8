package move

import (
	"context"
	"errors"
	"testing"
	"time"
)

type brokenSession struct {
	Session
	err error
}

func (s brokenSession) Err() error { return s.err }

// TestTransferEndsWhenAStreamHasFailed: libvirt may not notice; the move does.
func TestTransferEndsWhenAStreamHasFailed(t *testing.T) {
	lost := errors.New("lost")
	for _, c := range []struct {
		err   error
		since time.Duration
		ends  bool
	}{{nil, 0, false}, {nil, time.Hour, false}, {lost, 0, false}, {lost, time.Second, false}, {lost, time.Hour, true}} {
		ctx, giveUp := context.WithCancelCause(t.Context())
		s := &source{run: &run{m: &Manager{opt: Options{StreamGrace: time.Minute}}}, session: brokenSession{err: c.err}}
		var broken time.Time
		if c.since != 0 {
			broken = time.Now().Add(-c.since)
		}
		after := s.checkStreams(broken, giveUp)
		if ended := errors.Is(context.Cause(ctx), lost); ended != c.ends {
			t.Errorf("%v for %s: ended %v", c.err, c.since, ended)
		}
		if after.IsZero() != (c.err == nil) {
			t.Errorf("%v for %s: broken since %s", c.err, c.since, after)
		}
		giveUp(nil)
	}
}
