package stream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"drover/internal/fault"
)

var (
	errClosed = fmt.Errorf("stream: %w", net.ErrClosed)
	// errHungUp is the EOF frame of a control connection, which ends both
	// directions at once.
	errHungUp = errors.New("stream: peer hung up")
)

// link is one connection after its handshake: frames, life signs and the order
// in which things end. Stream and Control are its two faces.
//
// It owns two goroutines, the reader and the pinger. Both end when dead is
// closed and the connection is cut; close waits for them.
type link struct {
	raw  *wireConn
	conn net.Conn // TLS over raw, or raw
	// batch is what lies between the two, nil where nothing does.
	batch *batch
	who   names
	t     Timing
	// carries is frameData or frameMessage, the one type of payload that the
	// peer may send.
	carries frameType

	wlock    chan struct{} // holds the right to write to conn
	sentEOF  atomic.Bool   // set under wlock, before the frame is written
	sentDone bool          // under wlock
	doneOut  chan struct{} // closed once DONE is written
	kick     chan struct{} // tells the pinger that DONE may be due

	// in hands payload to the consumer, one at a time: with the buffer that the
	// consumer holds, two are in use, never more. Closed after EOF.
	in      chan chunk
	recvEOF atomic.Bool
	// direct: the consumer takes payload from the connection itself, as far as it
	// can, and tells of each chunk through passed.
	direct   atomic.Bool
	passed   chan taken
	finished atomic.Bool // DONE sent and received

	ending     sync.Once
	dead       chan struct{}
	err        error // why; set before dead is closed
	readerDone chan struct{}
	pingerDone chan struct{}

	framesIn, framesOut atomic.Uint64
}

// chunk is the payload of one frame.
type chunk struct {
	b     []byte
	flags uint8
	// direct is how many bytes are still in the connection; b is empty then.
	direct int
	// What it lies in, to be freed after use: one of them, or neither for messages.
	buf *buffer
	out *large
}

// free gives back what the chunk lies in.
func (c chunk) free() {
	c.buf.free()
	c.out.free()
}

func newLink(raw *wireConn, conn net.Conn, who names, t Timing, carries frameType) *link {
	l := &link{
		raw: raw, conn: conn, who: who, t: t, carries: carries,
		wlock: make(chan struct{}, 1), in: make(chan chunk), passed: make(chan taken), dead: make(chan struct{}),
		doneOut: make(chan struct{}), kick: make(chan struct{}, 1),
		readerDone: make(chan struct{}), pingerDone: make(chan struct{}),
	}
	if t, ok := conn.(*tls.Conn); ok && carries == frameData {
		l.batch, _ = t.NetConn().(*batch)
	}
	return l
}

// start clears the handshake's deadlines and starts the goroutines.
func (l *link) start() {
	_ = l.raw.SetDeadline(time.Time{}) // an error shows at the next read
	l.raw.silence.Store(int64(l.t.Silence))
	l.raw.lastWrite.Store(time.Now().UnixNano())
	go l.read()
	go l.ping()
}

// end decides the error of the link, once; the first caller wins.
func (l *link) end(err error) bool {
	first := false
	l.ending.Do(func() {
		l.err = err
		close(l.dead)
		first = true
	})
	return first
}

// read is the reader goroutine. However it leaves, the connection is cut.
func (l *link) read() {
	defer close(l.readerDone)
	defer l.raw.Close()
	err := l.readFrames()
	select {
	case <-l.dead: // somebody aborts and waits for the peer to take the RESET
		l.drain()
		return
	default:
	}
	var bad violation
	switch {
	case errors.As(err, &bad):
		if l.end(l.name(err)) {
			l.sendReset(l.err)
			l.drain()
		}
	case errors.Is(err, errHungUp):
		l.end(io.EOF)
	default:
		l.end(l.name(err))
	}
}

// readFrames hands payload over until the link ends; errClosed means that it
// ended well. It never waits for the right to write: a writer can be blocked for
// as long as the peer gives signs of life, and reading them is this function's
// task.
func (l *link) readFrames() error {
	room := make([]byte, headerSize)
	for {
		h, err := readHeaderInto(l.conn, room)
		if err != nil {
			return err
		}
		l.framesIn.Add(1)
		if h.typ != frameReset && h.typ != framePing && h.typ != frameDone && l.recvEOF.Load() {
			return violationf("frame of type %d after EOF", h.typ)
		}
		switch h.typ {
		case framePing:
		case frameReset:
			b, err := readPayload(l.conn, h.length)
			if err != nil {
				return err
			}
			return parseReset(b)
		case l.carries:
			c, err := l.readChunk(h)
			if err != nil {
				return err
			}
			select {
			case l.in <- c:
			case <-l.dead:
				c.free()
				return l.err
			}
			if c.direct > 0 {
				if err := l.awaitPassed(); err != nil {
					return err
				}
			}
		case frameEOF:
			if l.carries == frameMessage {
				return errHungUp
			}
			l.recvEOF.Store(true)
			close(l.in)
			l.kickPinger()
		case frameDone:
			return l.receiveDone()
		default:
			return violationf("frame of type %d is not allowed here", h.typ)
		}
	}
}

func (l *link) readChunk(h header) (chunk, error) {
	if l.carries == frameMessage {
		b, err := readPayload(l.conn, h.length)
		return chunk{b: b}, err
	}
	if h.flags == 0 && h.length >= leastSplice && l.direct.Load() {
		return chunk{direct: h.length}, nil
	}
	buf := getBuffer()
	if _, err := io.ReadFull(l.conn, buf[:h.length]); err != nil {
		buf.free()
		return chunk{}, midFrame(err)
	}
	return chunk{b: buf[:h.length], flags: h.flags, buf: buf}, nil
}

// receiveDone ends the link well, as soon as this side's DONE is out too.
func (l *link) receiveDone() error {
	if !l.recvEOF.Load() || !l.sentEOF.Load() {
		return violation("DONE before both directions ended")
	}
	l.kickPinger()
	select {
	case <-l.doneOut:
	case <-l.dead:
		return l.err
	case <-time.After(l.t.Silence):
		return os.ErrDeadlineExceeded
	}
	l.finished.Store(true)
	return errClosed
}

func (l *link) kickPinger() {
	select {
	case l.kick <- struct{}{}:
	default: // it was told already and has not looked yet
	}
}

// drain takes what the peer still sends after a RESET went out. A socket that is
// closed with unread data would answer it with a TCP reset, which can destroy
// the RESET frame on its way.
func (l *link) drain() {
	l.raw.silence.Store(0)
	_ = l.raw.SetReadDeadline(time.Now().Add(l.t.Grace))
	_, _ = io.Copy(io.Discard, l.conn)
}

// ping is the pinger goroutine.
func (l *link) ping() {
	defer close(l.pingerDone)
	t := time.NewTimer(l.t.Ping)
	defer t.Stop()
	for {
		select {
		case <-l.dead:
			return
		case <-l.kick:
			l.sendDone()
			continue
		case <-t.C:
		}
		idle := time.Duration(time.Now().UnixNano() - l.raw.lastWrite.Load())
		if idle < l.t.Ping {
			t.Reset(max(l.t.Ping-idle, time.Millisecond))
			continue
		}
		t.Reset(l.t.Ping)
		select {
		case l.wlock <- struct{}{}:
		default:
			continue // a writer is at work: what it sends is the sign of life
		}
		var b [headerSize]byte
		header{typ: framePing}.put(b[:])
		if !l.sentDone {
			if _, err := l.conn.Write(b[:]); err == nil {
				l.framesOut.Add(1)
			}
		}
		<-l.wlock
	}
}

// write sends one whole frame. It blocks as long as the peer lives and takes
// nothing; see the package's documentation of life signs.
func (l *link) write(frame []byte) error {
	select {
	case <-l.dead:
		return l.err
	default:
	}
	select {
	case l.wlock <- struct{}{}:
	case <-l.dead:
		return l.err
	}
	if l.sentEOF.Load() {
		<-l.wlock
		return errors.New("stream: write after end of data")
	}
	if frameType(frame[0]) == frameEOF {
		l.sentEOF.Store(true)
	}
	err := l.put(frame)
	<-l.wlock
	if err != nil {
		return l.writeFailed(err)
	}
	l.framesOut.Add(1)
	return nil
}

// put writes a frame to the connection, in as few pieces as may be.
func (l *link) put(frame []byte) error {
	if l.batch == nil || len(frame) <= leastBatch {
		_, err := l.conn.Write(frame)
		return err
	}
	l.batch.begin()
	_, err := l.conn.Write(frame)
	if ferr := l.batch.flush(); err == nil {
		err = ferr
	}
	return err
}

// writeFailed waits a moment for the reader, which may be about to find the
// RESET that explains why the peer went away.
func (l *link) writeFailed(err error) error {
	select {
	case <-l.dead:
	case <-time.After(l.t.Grace):
		l.end(l.name(err))
		l.raw.Close()
	}
	return l.err
}

// sendDone sends DONE, once, when both directions have ended. Whoever ends the
// second direction comes here, so it is never missed. A failure to write shows
// at the reader.
func (l *link) sendDone() {
	if !l.sentEOF.Load() || !l.recvEOF.Load() {
		return
	}
	select {
	case l.wlock <- struct{}{}:
	case <-l.dead:
		return
	}
	defer func() { <-l.wlock }()
	if l.sentDone {
		return
	}
	l.sentDone = true
	if writeFrame(l.conn, frameDone, nil) == nil {
		l.framesOut.Add(1)
		close(l.doneOut)
	}
}

// closeWrite ends this side's direction.
func (l *link) closeWrite() error {
	var b [headerSize]byte
	header{typ: frameEOF}.put(b[:])
	if err := l.write(b[:]); err != nil {
		return err
	}
	l.sendDone()
	return nil
}

// sendReset is best effort: a writer that is stuck keeps it from going out.
func (l *link) sendReset(err error) { l.sendLast(frameReset, resetPayload(err)) }

func (l *link) sendLast(typ frameType, payload []byte) {
	grace := time.NewTimer(l.t.Grace)
	defer grace.Stop()
	select {
	case l.wlock <- struct{}{}:
	case <-grace.C:
		return
	}
	defer func() { <-l.wlock }()
	_ = l.raw.SetWriteDeadline(time.Now().Add(l.t.Grace))
	_ = writeFrame(l.conn, typ, payload)
	if tc, ok := l.raw.Conn.(*net.TCPConn); ok {
		_ = tc.CloseWrite()
	}
	l.sentEOF.Store(true)
	l.sentDone = true
}

// abort ends the link with err, tells the peer, and cuts the connection. It takes
// no longer than a few times Timing.Grace.
func (l *link) abort(err error) {
	if l.end(err) {
		l.sendReset(err)
		l.awaitReader()
	}
	l.close()
}

func (l *link) awaitReader() {
	select {
	case <-l.readerDone:
	case <-time.After(l.t.Grace):
	}
}

// close cuts the connection and waits for the goroutines.
func (l *link) close() {
	l.end(errClosed)
	l.raw.Close()
	<-l.readerDone
	<-l.pingerDone
}

// name gives a failure of the connection its code.
func (l *link) name(err error) error { return l.who.fault(err, l.t.Silence) }

func (w names) fault(err error, silence time.Duration) error {
	var known *fault.Error
	var bad violation
	switch {
	case errors.As(err, &known), errors.Is(err, errClosed):
		return err
	case errors.As(err, &bad):
		return fault.Wrap(err, fault.ProtocolError, w.host, "peer", w.peer, "problem", string(bad))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.Wrap(err, fault.PeerSilent, w.host, "peer", w.peer,
			"seconds", strconv.FormatFloat(silence.Seconds(), 'f', -1, 64))
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fault.Wrap(err, fault.PeerGone, w.host, "peer", w.peer)
}
