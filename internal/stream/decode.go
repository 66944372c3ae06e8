package stream

import (
	"errors"
	"io"
	"sync"
	"syscall"

	"drover/internal/fault"
	"drover/internal/fold"
)

// budgets are what the folded blocks of a session's streams take their memory
// from, each direction by itself. The sender gives disks little of it: they go
// first, little on them is written twice, and memory needs what it can get.
type budgets struct{ memory, disks, receiving *fold.Budget }

const diskSlots = fold.MaxSlots / 8

func newBudgets() budgets {
	return budgets{fold.NewBudget(fold.MaxSlots - diskSlots), fold.NewBudget(diskSlots), fold.NewBudget(fold.MaxSlots)}
}

// sending is the part of the streams of a kind.
func (b *budgets) sending(k Kind) *fold.Budget {
	if k == KindDisk {
		return b.disks
	}
	return b.memory
}

// Read gives data of the peer. It ends with io.EOF only when the peer said that
// its data end; a connection that breaks is another error.
func (s *Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.rmu.Lock()
	defer s.readerLeaves()
	if err := s.fill(); err != nil {
		return 0, err
	}
	n := copy(p, s.cur.b)
	s.consume(n)
	return n, nil
}

// WriteTo gives everything that the peer sends to w, without another copy.
func (s *Stream) WriteTo(w io.Writer) (int64, error) {
	s.rmu.Lock()
	defer s.readerLeaves()
	if p := s.spliceTo(w); p != nil {
		defer p.close()
		s.splicer = p
		defer s.splicesNoMore()
	}
	var total int64
	for {
		err := s.fill()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		if s.cur.direct > 0 {
			c := s.cur
			s.cur = chunk{}
			n, err := s.pass(s.splicer, c)
			total += n
			if err != nil {
				return total, err
			}
			continue
		}
		coded := s.cur.flags != 0
		n, err := w.Write(s.cur.b)
		total += int64(n)
		s.consume(n)
		if err != nil {
			return total, localError{err}
		}
		if coded { // and so are, no doubt, those that follow
			s.splicesNoMore()
			n, err := s.writeAhead(w)
			return total + n, err
		}
	}
}

// writeAhead decodes a block while the one before it is written.
func (s *Stream) writeAhead(w io.Writer) (total int64, err error) {
	decoded, stop := make(chan chunk), make(chan struct{})
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(decoded)
		for {
			var c chunk
			if c, failed = s.next(stop); failed != nil {
				return
			}
			select {
			case decoded <- c:
			case <-stop:
				c.free()
				return
			}
		}
	})
	for c := range decoded {
		n, werr := w.Write(c.b)
		total += int64(n)
		c.free()
		if werr != nil {
			close(stop)
			wg.Wait()
			return total, localError{werr}
		}
	}
	wg.Wait()
	if errors.Is(failed, io.EOF) {
		failed = nil
	}
	return total, failed
}

// fill makes cur hold at least one byte.
func (s *Stream) fill() (err error) {
	if len(s.cur.b) == 0 {
		s.cur, err = s.next(nil)
	}
	return err
}

// next waits for a block and decodes it; the end of stop ends it.
func (s *Stream) next(stop <-chan struct{}) (chunk, error) {
	select {
	case c, ok := <-s.link.in:
		switch {
		case ok && c.direct > 0 && s.splicer != nil:
			return c, nil
		case ok && c.direct > 0:
			var err error
			if c, err = s.link.collect(c); err != nil {
				return chunk{}, err
			}
			return s.decode(c)
		case ok:
			return s.decode(c)
		}
	case <-s.link.dead:
	case <-stop:
		return chunk{}, errClosed
	}
	if s.link.recvEOF.Load() { // set only after every chunk was handed over
		return chunk{}, io.EOF
	}
	<-s.link.dead
	return chunk{}, s.link.err
}

// decode makes the bytes of the program from a block, whatever it says of itself
// within the bounds of a block.
func (s *Stream) decode(c chunk) (chunk, error) {
	if c.flags != 0 {
		if c.flags&^(codecBits|folded) != 0 || !s.decodes {
			c.free()
			return chunk{}, s.refuse(violationf("data with flags %#x on a %s stream", c.flags, s.info.Kind))
		}
		var err error
		if c, err = s.unpack(c); err == nil && c.flags&folded != 0 {
			c, err = s.unfold(c)
		}
		if err != nil {
			return chunk{}, s.refuse(s.undecoded(c.flags, err))
		}
	}
	s.payloadIn.Add(uint64(len(c.b)))
	return c, nil
}

func (s *Stream) unpack(c chunk) (chunk, error) {
	codec := c.flags & codecBits
	if codec == codecNone {
		return c, nil
	}
	plain := getBuffer()
	b, err := unpack(codec, plain[:0:MaxData], c.b)
	c.free()
	if err == nil && (len(b) == 0 || len(b) > MaxData) {
		err = errDecoded
	}
	if err != nil {
		plain.free()
		return chunk{flags: c.flags}, err
	}
	return chunk{b: b, flags: c.flags, buf: plain}, nil
}

func (s *Stream) unfold(c chunk) (chunk, error) {
	if s.unfolder == nil {
		s.unfolder = fold.NewUnfolder(s.budgets.receiving)
	}
	out := getLarge()
	b, err := s.unfolder.Unfold(out[:0], c.b)
	c.free()
	if err == nil && (len(b) == 0 || len(b) > len(out)) {
		err = errDecoded
	}
	if err != nil {
		out.free()
		return chunk{flags: c.flags}, err
	}
	return chunk{b: b, flags: c.flags, out: out}, nil
}

// undecoded is why a block cannot be decoded: the peer's doing, but for memory that
// this host does not have.
func (s *Stream) undecoded(flags uint8, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return fault.Wrap(err, fault.Internal, s.link.who.host)
	}
	return violationf("a block with flags %#x that cannot be decoded (%v)", flags, err)
}

func (s *Stream) refuse(err error) error {
	err = s.link.name(err)
	s.link.abort(err)
	return err
}

func (s *Stream) consume(n int) {
	s.cur.b = s.cur.b[n:]
	if len(s.cur.b) == 0 {
		s.cur.free()
		s.cur = chunk{}
	}
}

// release gives back what the reading side holds, unless a reader is at work: then
// it does so when it leaves.
func (s *Stream) release() {
	s.released.Store(true)
	if s.rmu.TryLock() {
		s.cur.free()
		s.cur = chunk{}
		if s.unfolder != nil {
			s.unfolder.Close()
			s.unfolder = nil
		}
		s.rmu.Unlock()
	}
}

func (s *Stream) readerLeaves() {
	s.rmu.Unlock()
	if s.released.Load() {
		s.release()
	}
}
