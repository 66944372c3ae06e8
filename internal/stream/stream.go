package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"

	"drover/internal/record"
)

// Stream is one data connection of a session. One goroutine may read and one may
// write at a time; the other methods are safe at any time. A Stream must be
// closed, because it owns goroutines.
type Stream struct {
	link    *link
	info    StreamInfo // the fixed part
	coding  Coding
	budgets *budgets // of the session
	decodes bool     // coded blocks may come: to the side that did not open the stream

	cmu   sync.Mutex
	coded record.Coding

	payloadIn, payloadOut atomic.Uint64

	rmu      sync.Mutex // Read against Close
	cur      chunk
	unfolder unfolder // nil until a folded block comes
	splicer  *splicer // of WriteTo, nil when it copies
	released atomic.Bool
}

// unfolder is a fold.Unfolder.
type unfolder interface {
	Unfold(dst, block []byte) ([]byte, error)
	Close()
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
	PayloadSent      uint64         `json:"payload_sent"`       // bytes of the caller, before coding
	PayloadReceived  uint64         `json:"payload_received"`   // bytes of the caller, after decoding
	KernelBytesAcked uint64         `json:"kernel_bytes_acked"` // of the kernel's tcp_info
	Encrypted        bool           `json:"encrypted"`
	CipherSuite      string         `json:"cipher_suite"`
	Coded            record.Coding  `json:"coded"` // of what Relay sent, if it had a Coding; without Ratio
}

// Counters of a Stream.
type Counters struct {
	PayloadSent, PayloadReceived uint64 // bytes of the caller
	WireSent, WireReceived       uint64 // bytes below TLS, handshake included
	FramesSent, FramesReceived   uint64 // of every type
}

// newStream makes a stream of an attached connection; whether it is encrypted
// shows in the connection itself.
func newStream(l *link, c claim, of *Session, opener bool) *Stream {
	k := l.raw.info()
	s := &Stream{link: l, budgets: &of.budgets, decodes: c.kind.codes() && !opener, info: StreamInfo{Kind: c.kind, Index: c.index, Local: k.Local, Remote: k.Remote}}
	if t, ok := l.conn.(*tls.Conn); ok {
		cs := t.ConnectionState()
		s.info.Encrypted, s.info.CipherSuite = cs.HandshakeComplete, tls.CipherSuiteName(cs.CipherSuite)
	}
	return s
}

// Write sends p as it is. It blocks while the peer lives and takes nothing.
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

// ReadFrom sends everything that r gives until io.EOF, as it is and without
// another copy. It
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
	header{typ: frameData, length: n}.put(buf[:])
	if err := s.link.write(buf[:headerSize+n]); err != nil {
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
	s.cmu.Lock()
	in.Coded = s.coded
	s.cmu.Unlock()
	return in
}

// localError marks a failure of the caller's reader or writer, as opposed to one
// of the stream.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }
