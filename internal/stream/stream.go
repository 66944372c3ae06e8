package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Stream is one data connection of a session. One goroutine may read and one may
// write at a time; the other methods are safe at any time. A Stream must be
// closed, because it owns goroutines.
type Stream struct {
	link   *link
	info   StreamInfo // the fixed part
	coding Coding
	codec  atomic.Pointer[Codec]
	known  map[uint8]Codec

	payloadIn, payloadOut atomic.Uint64

	rmu sync.Mutex // Read against Close
	cur chunk
}

// StreamInfo says what a connection carried, and over which addresses: the proof
// of the network that was used. Sent and received are as this host sees it.
type StreamInfo struct {
	Kind             Kind           `json:"kind"`
	Index            uint32         `json:"index"`
	Local            netip.AddrPort `json:"local"`
	Remote           netip.AddrPort `json:"remote"`
	WireSent         uint64         `json:"wire_sent"`          // bytes given to TCP, TLS included
	WireReceived     uint64         `json:"wire_received"`      // bytes taken from TCP
	PayloadSent      uint64         `json:"payload_sent"`       // bytes of the caller, before the codec
	PayloadReceived  uint64         `json:"payload_received"`   // bytes of the caller, after the codec
	KernelBytesAcked uint64         `json:"kernel_bytes_acked"` // of the kernel's tcp_info
	Encrypted        bool           `json:"encrypted"`
	CipherSuite      string         `json:"cipher_suite"`
}

// Counters of a Stream.
type Counters struct {
	PayloadSent, PayloadReceived uint64 // bytes of the caller
	WireSent, WireReceived       uint64 // bytes below TLS, handshake included
	FramesSent, FramesReceived   uint64 // of every type
}

// newStream makes a stream of an attached connection; whether it is encrypted
// shows in the connection itself.
func newStream(l *link, c claim) *Stream {
	k := l.raw.info()
	s := &Stream{link: l, known: decoders(), info: StreamInfo{Kind: c.kind, Index: c.index, Local: k.Local, Remote: k.Remote}}
	if t, ok := l.conn.(*tls.Conn); ok {
		cs := t.ConnectionState()
		s.info.Encrypted, s.info.CipherSuite = cs.HandshakeComplete, tls.CipherSuiteName(cs.CipherSuite)
	}
	s.codec.Store(&TCPIP)
	return s
}

// SetCodec changes the codec of what is written from the next block on. Only
// memory streams take one.
func (s *Stream) SetCodec(c Codec) error {
	if s.info.Kind != KindMemory {
		return fmt.Errorf("stream: codec %s on a %s stream", c.Name(), s.info.Kind)
	}
	s.codec.Store(&c)
	return nil
}

// Read gives data of the peer. It ends with io.EOF only when the peer said that
// its data end; a connection that breaks is another error.
func (s *Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.rmu.Lock()
	defer s.rmu.Unlock()
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
	defer s.rmu.Unlock()
	var total int64
	for {
		err := s.fill()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(s.cur.b)
		total += int64(n)
		s.consume(n)
		if err != nil {
			return total, localError{err}
		}
	}
}

// fill makes cur hold at least one byte.
func (s *Stream) fill() error {
	if len(s.cur.b) > 0 {
		return nil
	}
	select {
	case c, ok := <-s.link.in:
		if ok {
			return s.decode(c)
		}
	case <-s.link.dead:
	}
	if s.link.recvEOF.Load() { // set only after every chunk was handed over
		return io.EOF
	}
	<-s.link.dead
	return s.link.err
}

func (s *Stream) decode(c chunk) error {
	if c.flags != TCPIP.ID() {
		codec, ok := s.known[c.flags]
		if !ok || s.info.Kind != KindMemory {
			c.buf.free()
			return s.refuse(violationf("data of codec %d on a %s stream", c.flags, s.info.Kind))
		}
		plain := getBuffer()
		b, err := codec.Decode(plain[:0:MaxData], c.b)
		c.buf.free()
		if err != nil || len(b) == 0 || len(b) > MaxData {
			plain.free()
			return s.refuse(violationf("a block that codec %s cannot decode (%v)", codec.Name(), err))
		}
		c = chunk{b: b, buf: plain}
		if *s.codec.Load() == TCPIP { // who codes can decode
			s.codec.Store(&codec)
		}
	}
	s.cur = c
	s.payloadIn.Add(uint64(len(c.b)))
	return nil
}

func (s *Stream) refuse(v violation) error {
	err := s.link.name(v)
	s.link.abort(err)
	return err
}

func (s *Stream) consume(n int) {
	s.cur.b = s.cur.b[n:]
	if len(s.cur.b) == 0 {
		s.cur.buf.free()
		s.cur = chunk{}
	}
}

// Write sends p. It blocks while the peer lives and takes nothing.
func (s *Stream) Write(p []byte) (int, error) {
	buf := getBuffer()
	defer buf.free()
	done := 0
	for done < len(p) {
		n := copy(buf[headerSize:], p[done:])
		if err := s.send(buf, n); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// ReadFrom sends everything that r gives until io.EOF, without another copy. It
// does not end the direction: see CloseWrite.
func (s *Stream) ReadFrom(r io.Reader) (int64, error) {
	buf := getBuffer()
	defer buf.free()
	var total int64
	for {
		n, err := r.Read(buf[headerSize:])
		if n > 0 {
			if werr := s.send(buf, n); werr != nil {
				return total, werr
			}
			total += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, localError{err}
		}
	}
}

// send sends the block of n bytes that lies in buf behind room for a header.
func (s *Stream) send(buf *buffer, n int) error {
	frame, flags := buf[:headerSize+n], TCPIP.ID()
	if codec := *s.codec.Load(); codec.ID() != TCPIP.ID() {
		room := codedBuffers.Get().(*coded)
		defer codedBuffers.Put(room)
		b, err := codec.Encode(room[headerSize:headerSize], frame[headerSize:])
		if err != nil || len(b) == 0 {
			return fmt.Errorf("stream: codec %s made %d bytes of %d: %w", codec.Name(), len(b), n, err)
		}
		if len(b) < n { // a block that does not shrink goes as it is
			frame, flags = room[:headerSize+len(b)], codec.ID()
		}
	}
	header{typ: frameData, flags: flags, length: len(frame) - headerSize}.put(frame)
	if err := s.link.write(frame); err != nil {
		return err
	}
	s.payloadOut.Add(uint64(n))
	return nil
}

// CloseWrite tells the peer that this side's data end. Reading goes on.
func (s *Stream) CloseWrite() error { return s.link.closeWrite() }

// Finish waits until both directions have ended and the peer has confirmed that
// it received everything. Both ends must have called CloseWrite and one must
// have read to io.EOF for it to end well. ctx only ends the waiting.
func (s *Stream) Finish(ctx context.Context) error {
	select {
	case <-s.link.readerDone:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.link.finished.Load() {
		return nil
	}
	return s.link.err
}

// Abort ends the stream with err, which the peer gets to see as the error of its
// own Read and Write, and closes it. The first error of a stream stays.
func (s *Stream) Abort(err error) {
	s.link.abort(err)
	s.release()
}

// Close ends the stream at once. Before Finish has succeeded the peer sees it as
// a lost connection; Abort gives it a reason. It is safe twice.
func (s *Stream) Close() error {
	s.link.close()
	s.release()
	return nil
}

// release gives the read buffer back, unless a reader holds it, which frees it
// by itself or leaves it to the garbage collector.
func (s *Stream) release() {
	if s.rmu.TryLock() {
		s.cur.buf.free()
		s.cur = chunk{}
		s.rmu.Unlock()
	}
}

// Err is why the stream ended; nil while it lives and when it ended well.
func (s *Stream) Err() error {
	select {
	case <-s.link.dead:
	default:
		return nil
	}
	if s.link.finished.Load() {
		return nil
	}
	return s.link.err
}

// Kind is what the stream carries.
func (s *Stream) Kind() Kind { return s.info.Kind }

// Index is the opener's running number among the streams of one kind.
func (s *Stream) Index() uint32 { return s.info.Index }

// Addrs are the addresses of the socket.
func (s *Stream) Addrs() (local, remote netip.AddrPort) { return s.info.Local, s.info.Remote }

// Counters as of now; after Close they stay.
func (s *Stream) Counters() Counters {
	return Counters{
		PayloadSent: s.payloadOut.Load(), PayloadReceived: s.payloadIn.Load(),
		WireSent: s.link.raw.out.Load(), WireReceived: s.link.raw.in.Load(),
		FramesSent: s.link.framesOut.Load(), FramesReceived: s.link.framesIn.Load(),
	}
}

// TCPInfo is the kernel's view, as of now or as of Close.
func (s *Stream) TCPInfo() TCPInfo { return s.link.raw.info() }

// Info is the summary of the stream as of now; after Close it stays.
func (s *Stream) Info() StreamInfo {
	in, c := s.info, s.Counters()
	in.WireSent, in.WireReceived = c.WireSent, c.WireReceived
	in.PayloadSent, in.PayloadReceived = c.PayloadSent, c.PayloadReceived
	k := s.TCPInfo()
	in.KernelBytesAcked, in.Local, in.Remote = k.BytesAcked, k.Local, k.Remote
	return in
}

// localError marks a failure of the caller's reader or writer, as opposed to one
// of the stream.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }
