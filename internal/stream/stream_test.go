package stream

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
)

// finish ends both ends well and fails the test if one does not.
func finish(t *testing.T, e *env, ends ...*Stream) {
	t.Helper()
	for _, s := range ends {
		if err := s.Finish(e.ctx); err != nil {
			t.Errorf("Finish: %v", err)
		}
		if err := s.Err(); err != nil {
			t.Errorf("Err after Finish: %v", err)
		}
	}
}

func TestEndOfOneDirectionLeavesTheOtherOpen(t *testing.T) {
	e := newEnv(t, Timing{})
	src, dst := e.pair(t, KindMemory, 0)
	if _, err := src.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := src.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(dst)
	if err != nil || string(got) != "question" {
		t.Fatalf("read %q, %v", got, err)
	}
	if _, err := src.Write([]byte("more")); err == nil {
		t.Error("Write after CloseWrite succeeded")
	}
	if _, err := dst.Write([]byte("answer, much later")); err != nil {
		t.Fatal(err)
	}
	if err := dst.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err = io.ReadAll(src)
	if err != nil || string(got) != "answer, much later" {
		t.Fatalf("read %q, %v", got, err)
	}
	finish(t, e, src, dst)
	if n, err := src.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read after the end: %d, %v", n, err)
	}
}

// noise writes n bytes in pieces of many sizes and gives their checksum.
func noise(w io.Writer, n int, seed uint64) ([]byte, error) {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	gen, sizes, sum := rand.NewChaCha8(key), rand.New(rand.NewPCG(seed, 1)), sha256.New()
	buf := make([]byte, 700<<10)
	for n > 0 {
		p := buf[:min(n, 1+sizes.IntN(len(buf)))]
		_, _ = gen.Read(p)
		sum.Write(p)
		if _, err := w.Write(p); err != nil {
			return nil, err
		}
		n -= len(p)
	}
	return sum.Sum(nil), nil
}

func TestBothDirectionsAtOnceArriveWhole(t *testing.T) {
	const size = 24 << 20
	e := newEnv(t, Timing{})
	src, dst := e.pair(t, KindDisk, 7)
	type result struct {
		sum []byte
		err error
	}
	ends := []*Stream{src, dst}
	sent, got := make([]chan result, 2), make([]chan result, 2)
	for i, s := range ends {
		sent[i], got[i] = make(chan result, 1), make(chan result, 1)
		go func() {
			sum, err := noise(s, size, uint64(i))
			if err == nil {
				err = s.CloseWrite()
			}
			sent[i] <- result{sum, err}
		}()
		go func() {
			h := sha256.New()
			_, err := io.Copy(struct{ io.Writer }{h}, s)
			got[i] <- result{h.Sum(nil), err}
		}()
	}
	for i := range ends {
		w, r := <-sent[i], <-got[1-i]
		if w.err != nil || r.err != nil || !bytes.Equal(w.sum, r.sum) {
			t.Errorf("direction %d: write %v, read %v, sums %x %x", i, w.err, r.err, w.sum, r.sum)
		}
	}
	finish(t, e, ends...)
	src.Close()
	dst.Close()
	a, b := src.Counters(), dst.Counters()
	if a.PayloadSent != size || a.PayloadReceived != size || b.PayloadSent != size || b.PayloadReceived != size {
		t.Errorf("payload counters: %+v %+v", a, b)
	}
	if a.WireSent != b.WireReceived || a.WireReceived != b.WireSent || a.WireSent <= size || a.WireSent > size+size/50 {
		t.Errorf("wire counters: %+v %+v", a, b)
	}
	if a.FramesSent != b.FramesReceived || b.FramesSent != a.FramesReceived {
		t.Errorf("frame counters: %+v %+v", a, b)
	}
	in := src.Info()
	if in.KernelBytesAcked < size || in.KernelBytesAcked > a.WireSent+2 {
		t.Errorf("the kernel saw %d bytes acknowledged, %d were sent", in.KernelBytesAcked, a.WireSent)
	}
	if !in.Encrypted || !strings.Contains(in.CipherSuite, "TLS_") || in.Kind != KindDisk || in.Index != 7 {
		t.Errorf("info: %+v", in)
	}
	if other := dst.Info(); in.Local != other.Remote || in.Remote != other.Local || in.Remote != e.opt.Remote {
		t.Errorf("addresses: %+v %+v", in, other)
	}
	if tot := e.dial.Total(); tot.Streams != 1 || tot.PayloadSent[KindDisk] != size || !tot.Encrypted ||
		len(tot.Local) != 1 || tot.Local[0] != in.Local.Addr() {
		t.Errorf("total: %+v", tot)
	}
}

func TestErrorOfTheReceiverReachesTheSender(t *testing.T) {
	e := newEnv(t, Timing{Grace: 5 * time.Second})
	src, dst := e.pair(t, KindDisk, 0)
	wrote := make(chan error, 1)
	go func() {
		for {
			if _, err := src.Write(make([]byte, 1<<20)); err != nil {
				wrote <- err
				return
			}
		}
	}()
	if _, err := io.ReadFull(dst, make([]byte, 3<<20)); err != nil {
		t.Fatal(err)
	}
	dst.Abort(fault.Wrap(errors.New("write error 28"), fault.StorageFull, "HV02",
		"path", "/srv/vm", "free", "0 B", "needed", "1 GiB", "vm", "APP01"))
	for name, err := range map[string]error{"Write": <-wrote, "Err": src.Err(), "own": dst.Err()} {
		if !fault.Is(err, fault.StorageFull) || !strings.Contains(err.Error(), "write error 28") ||
			!strings.Contains(err.Error(), "/srv/vm") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := src.Read(make([]byte, 1)); !fault.Is(err, fault.StorageFull) {
		t.Errorf("Read: %v", err)
	}
}

func TestSilentPeerIsGivenUpByReaderAndWriter(t *testing.T) {
	e := newEnv(t, Timing{Ping: 20 * time.Millisecond, Silence: 250 * time.Millisecond, Grace: 50 * time.Millisecond})
	start := time.Now()               // before the peer's last byte, from which silence counts
	_, st := e.bare(t, KindMemory, 0) // the opener reads nothing and sends nothing
	wrote := make(chan error, 1)
	go func() {
		for {
			if _, err := st.Write(make([]byte, 1<<20)); err != nil {
				wrote <- err
				return
			}
		}
	}()
	_, err := st.Read(make([]byte, 1))
	for name, err := range map[string]error{"Read": err, "Write": <-wrote} {
		if !fault.Is(err, fault.PeerSilent) || !strings.Contains(err.Error(), "HV01") || !strings.Contains(err.Error(), "0.25 s") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d := time.Since(start); d < 250*time.Millisecond {
		t.Errorf("given up after %v", d)
	}
}

func TestIdleStreamLives(t *testing.T) {
	e := newEnv(t, lively)
	src, dst := e.pair(t, KindMemory, 0)
	eventually(t, "pings for twice the limit of silence", func() bool {
		return src.Counters().FramesReceived > 70 && dst.Counters().FramesReceived > 70
	})
	if src.Err() != nil || dst.Err() != nil {
		t.Fatalf("idle stream ended: %v, %v", src.Err(), dst.Err())
	}
	if c := src.Counters(); c.PayloadReceived != 0 {
		t.Errorf("pings counted as payload: %+v", c)
	}
}

// A destination whose disk hangs takes no data for long, but its agent lives.
func TestPeerThatOnlyPingsIsAlive(t *testing.T) {
	e := newEnv(t, lively)
	conn, st := e.bare(t, KindMemory, 0)
	const size = 32 << 20 // more than the kernel's buffers take
	wrote := make(chan error, 1)
	go func() {
		_, err := st.Write(make([]byte, size))
		if err == nil {
			err = st.CloseWrite()
		}
		wrote <- err
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 80 { // twice the limit of silence
		<-tick.C
		if err := writeFrame(conn, framePing, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-wrote:
			t.Fatalf("Write ended with a full connection: %v", err)
		default:
		}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				_ = writeFrame(conn, framePing, nil)
			}
		}
	}()
	got := 0
	for {
		h, err := readHeader(conn)
		if err != nil {
			t.Fatal(err)
		}
		if h.typ == frameEOF {
			break
		}
		if _, err := io.CopyN(io.Discard, conn, int64(h.length)); err != nil {
			t.Fatal(err)
		}
		got += h.length
	}
	close(stop)
	<-stopped
	if err := <-wrote; err != nil || got != size {
		t.Errorf("%d bytes arrived, Write: %v", got, err)
	}
}

// This side's own consumer hangs: its peer must not be declared dead, although
// its pings are stuck behind data.
func TestSlowConsumerDoesNotBlameThePeer(t *testing.T) {
	e := newEnv(t, lively)
	src, dst := e.pair(t, KindMemory, 0)
	wrote := make(chan error, 1)
	const size = 32 << 20
	go func() {
		_, err := src.Write(make([]byte, size))
		if err == nil {
			err = src.CloseWrite()
		}
		wrote <- err
	}()
	eventually(t, "pings of the side that does not read, for long", func() bool {
		return src.Counters().FramesReceived > 70
	})
	n, err := io.Copy(io.Discard, dst)
	if err != nil || n != size {
		t.Errorf("read %d, %v", n, err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

func TestBrokenConnectionIsNoEndOfData(t *testing.T) {
	cut := map[string]func(w io.Writer) error{
		"within a payload": func(w io.Writer) error {
			b := make([]byte, headerSize+10)
			header{typ: frameData, length: 1000}.put(b)
			_, err := w.Write(b)
			return err
		},
		"within a header": func(w io.Writer) error { _, err := w.Write([]byte{1, 0, 0}); return err },
		"between frames":  func(w io.Writer) error { return writeFrame(w, frameData, []byte("x")) },
		"after DONE without EOF": func(w io.Writer) error {
			return writeFrame(w, frameDone, nil)
		},
	}
	for name, send := range cut {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, Timing{Grace: 100 * time.Millisecond})
			conn, st := e.bare(t, KindMemory, 0)
			if err := send(conn); err != nil {
				t.Fatal(err)
			}
			conn.Close() // with close_notify: even that is no end of data
			_, err := io.ReadAll(st)
			if !fault.Is(err, fault.PeerGone) && !fault.Is(err, fault.ProtocolError) {
				t.Errorf("error: %v", err)
			}
			if fault.Is(err, fault.PeerGone) && (errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "HV01")) {
				t.Errorf("error: %v", err)
			}
			if err := st.Finish(e.ctx); err == nil {
				t.Error("Finish succeeded")
			}
		})
	}
}

// The sender's Finish must not believe in a connection that merely closed.
func TestFinishNeedsThePeersConfirmation(t *testing.T) {
	e := newEnv(t, Timing{})
	conn, st := e.bare(t, KindMemory, 0)
	if err := st.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := writeFrame(conn, frameEOF, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []frameType{frameEOF, frameDone} {
		if _, err := expectFrame(conn, want); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	if err := st.Finish(e.ctx); !fault.Is(err, fault.PeerGone) {
		t.Errorf("Finish: %v", err)
	}
}

func TestForbiddenFramesEndTheStream(t *testing.T) {
	frame := func(typ, flags, res byte, length uint32, payload ...byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{typ, flags, res, 0}, length), payload...)
	}
	for name, b := range map[string][]byte{
		"data too long":        frame(1, 0, 0, MaxData+1),
		"length of 4 GiB":      frame(1, 0, 0, 0xffffffff),
		"ping with payload":    frame(4, 0, 0, 1, 0),
		"reserved bits":        frame(1, 0, 1, 1, 0),
		"unknown codec":        frame(1, 9, 0, 1, 0),
		"unknown way to fold":  frame(1, 0x20, 0, 1, 0),
		"folded noise":         frame(1, 0x10, 0, 5, 1, 2, 3, 4, 5),
		"unknown type":         frame(77, 0, 0, 0),
		"message on data":      frame(7, 0, 0, 2, '{', '}'),
		"hello again":          frame(8, 0, 0, 0),
		"data after EOF":       append(frame(2, 0, 0, 0), frame(1, 0, 0, 1, 0)...),
		"two EOF":              append(frame(2, 0, 0, 0), frame(2, 0, 0, 0)...),
		"empty data":           frame(1, 0, 0, 0),
		"reset without reason": frame(5, 0, 0, 2, '{', '}'),
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, Timing{Grace: 100 * time.Millisecond})
			conn, st := e.bare(t, KindMemory, 0)
			if _, err := conn.Write(b); err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(st) // after an EOF the data are good, the stream is not
			if err := st.Finish(e.ctx); !fault.Is(err, fault.ProtocolError) {
				t.Errorf("error: %v", err)
			}
			_, err := expectFrame(conn, framePing)
			if !fault.Is(err, fault.ProtocolError) || !strings.Contains(err.Error(), "HV02") {
				t.Errorf("the peer was told: %v", err)
			}
		})
	}
}

func TestCloseIsSafeTwiceAndWhileInUse(t *testing.T) {
	e := newEnv(t, Timing{})
	src, dst := e.pair(t, KindDisk, 0)
	errs := make(chan error, 2)
	go func() { _, err := src.Read(make([]byte, 10)); errs <- err }()
	go func() {
		for {
			if _, err := src.Write(make([]byte, 1<<20)); err != nil {
				errs <- err
				return
			}
		}
	}()
	eventually(t, "data", func() bool { return dst.Counters().FramesReceived > 0 })
	for range 2 {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, errClosed) {
			t.Errorf("error: %v", err)
		}
	}
	src.Abort(os.ErrInvalid) // after Close: nothing
	if err := src.Err(); !errors.Is(err, errClosed) {
		t.Errorf("the first error did not stay: %v", err)
	}
	if _, err := io.ReadAll(dst); !fault.Is(err, fault.PeerGone) {
		t.Errorf("peer: %v", err)
	}
	dst.Close()
	dst.Close()
}
