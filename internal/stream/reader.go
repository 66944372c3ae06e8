package stream

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"drover/internal/fold"
	"drover/internal/tune"
)

// read is the reader: it makes blocks of all that the local program writes, to
// its end. Whatever it gives, the queue is closed.
func (u *sender) read() error {
	defer close(u.queue)
	for {
		mode := u.c.Tuner.Next()
		if u.folder == nil {
			mode = unfolded(mode)
		}
		if err := u.await(mode); err != nil {
			return err
		}
		u.lastMode = mode
		b := getBlock(u, mode)
		var err error
		if mode.Folds() && u.folder != nil {
			err = u.fold(b)
		} else {
			err = u.take(b)
		}
		if err == nil && b.m.Raw > 0 {
			err = u.submit(b)
		} else {
			b.free()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fold makes a block of what is in the window, and waits for more while that is
// not enough. On an error there is no block.
func (u *sender) fold(b *block) error {
	want, _ := u.piece()
	if u.end-u.start < min(want, 2*MaxData) { // else what is there would be moved about for nothing
		if err := u.top(want); err != nil {
			return err
		}
	}
	for last := false; ; {
		if have := u.window.from(u.start, min(u.end, u.start+fold.MaxRaw)); len(have) > 0 {
			begun := time.Now()
			form, n := u.folder.Fold(b.room()[:0:MaxData], have, last)
			b.m.Fold += time.Since(begun)
			switch {
			case n > len(have) || n > 0 && len(form) == 0 || len(form) > MaxData:
				return fmt.Errorf("stream: %d of %d bytes folded to %d", n, len(have), len(form))
			case n > 0:
				b.n, b.m.Raw, b.flags, b.pages = len(form), n, folded, u.folder.Stats()
				u.start += n
				return nil
			case last || len(have) >= MaxData: // the folder makes nothing of it
				return u.take(b)
			}
		}
		if u.ended != nil {
			if u.start == u.end || !errors.Is(u.ended, io.EOF) {
				return u.ended
			}
			last = true
			continue
		}
		var err error
		if last, err = u.more(b, want); err != nil {
			return err
		}
	}
}

// take makes a block that is not folded: of what is left in the window, else of
// what the local program has to say.
func (u *sender) take(b *block) error {
	_, want := u.piece()
	room := b.room()[:want]
	if u.end > u.start {
		b.n = copy(room, u.window.from(u.start, u.end))
		u.start += b.n
	} else {
		if u.ended != nil {
			return u.ended
		}
		begun := time.Now()
		n, err := u.local.read(room)
		b.m.Wait += time.Since(begun)
		b.n = n
		for err == nil && b.m.Mode != tune.Carry && b.n < want {
			if n, err = u.local.poll(room[b.n:]); n == 0 {
				break
			}
			b.n += n
		}
		if err != nil {
			if u.ended = u.local.failed(err); b.n == 0 {
				return u.ended
			}
		}
	}
	b.m.Raw = b.n
	if u.folder != nil {
		begun := time.Now()
		u.folder.Pass(b.data())
		b.m.Fold += time.Since(begun)
	}
	return nil
}

// unfolded is the mode nearest to one that folds, where nothing can be folded. The
// levels of Zstandard are the modes' own.
func unfolded(m tune.Mode) tune.Mode {
	if m == tune.FoldS2 {
		return tune.S2
	}
	return m
}

// top fills the window up to want bytes with what is there already.
func (u *sender) top(want int) error {
	for u.ended == nil && u.end-u.start < want {
		n, err := u.local.poll(u.tail(want))
		u.end += n
		if err != nil {
			u.ended = u.local.failed(err)
		}
		if n == 0 {
			break
		}
	}
	if u.ended != nil && !errors.Is(u.ended, io.EOF) {
		return u.ended
	}
	return nil
}

// tail is the free room of the window for up to want bytes in all.
func (u *sender) tail(want int) []byte {
	if u.window == nil {
		u.window = getLarge()
	}
	if u.start > 0 && u.start+want > len(u.window) || u.start == u.end {
		u.end = copy(u.window[:], u.window[u.start:u.end])
		u.start = 0
	}
	return u.window[u.end:min(max(u.start+want, u.end+leastRead), len(u.window))]
}

// more waits for the local program. drained says that nothing came and nothing is
// under way any more, so that what is in the window must go.
func (u *sender) more(b *block, want int) (drained bool, err error) {
	held := u.end > u.start
	if held {
		u.mu.Lock()
		idle := u.blocks == 0 || !u.patient
		u.waiting = !idle
		u.mu.Unlock()
		if idle {
			n := u.end
			err := u.top(u.end - u.start + leastRead)
			return u.end == n && u.ended == nil, err
		}
	}
	begun := time.Now()
	n, rerr := u.local.read(u.tail(max(want, u.end-u.start+1)))
	b.m.Wait += time.Since(begun)
	u.end += n
	if held {
		u.mu.Lock()
		woken := !u.waiting
		u.waiting, err = false, u.err
		u.mu.Unlock()
		if woken {
			if err := u.local.conn.SetReadDeadline(time.Time{}); err != nil {
				return false, localError{err}
			}
			if errors.Is(rerr, os.ErrDeadlineExceeded) {
				rerr, drained = nil, n == 0
			}
		}
		if err != nil {
			return false, err
		}
	}
	if rerr != nil {
		u.ended = u.local.failed(rerr)
		if !errors.Is(u.ended, io.EOF) {
			return false, u.ended
		}
		return false, nil
	}
	return drained, u.top(want)
}
