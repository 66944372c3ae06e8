package nbd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// These hold Sparse against QEMU's own client and server (package qemu-utils of
// lab/packages.txt).

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// server has qemu-nbd serve an image, and gives the socket of a relay with Sparse
// before it and what ends both. sent counts what the relay passes on to qemu-nbd.
func serveImage(t *testing.T, path, format, discard string, sent *atomic.Int64) (socket string, end func()) {
	t.Helper()
	dir := t.TempDir()
	behind, pid := filepath.Join(dir, "b"), filepath.Join(dir, "p")
	cmd := exec.Command("qemu-nbd", "--socket="+behind, "--format="+format, "--export-name=disk", "--persistent", "--discard="+discard, "--pid-file="+pid, path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop := func() {
		once.Do(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("qemu-nbd: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(30 * time.Second); ; {
		if b, err := os.ReadFile(pid); err == nil && len(b) > 0 {
			break
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("qemu-nbd does not listen")
		}
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		var disks Disks
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			relay(t, Sparse(c, &disks), behind, sent)
		}
	})
	return filepath.Join(dir, "s"), func() {
		ln.Close()
		wg.Wait()
		stop()
	}
}

func relay(t *testing.T, client net.Conn, socket string, sent *atomic.Int64) {
	defer client.Close()
	server, err := net.Dial("unix", socket)
	if err != nil {
		t.Error(err)
		return
	}
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(client, server)
		_ = client.(interface{ CloseWrite() error }).CloseWrite()
	}()
	n, err := io.Copy(struct{ io.Writer }{server}, struct{ io.Reader }{client})
	sent.Add(n)
	if err != nil {
		t.Errorf("after %d bytes: %v", n, err)
	}
	server.(*net.UnixConn).CloseWrite()
	<-done
}

func url(socket string) string { return "nbd+unix:///disk?socket=" + socket }

func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestCopyThroughSparseIsTheSameAndTakesNoRoomForZeros(t *testing.T) {
	const size = 48 << 20
	for _, format := range []string{"raw", "qcow2"} {
		for _, discard := range []string{"unmap", "ignore"} {
			t.Run(format+" "+discard, func(t *testing.T) {
				dir := t.TempDir()
				from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
				content := make([]byte, size)
				copy(content[5<<20:], random(2<<20, 1))
				copy(content[20<<20+1234:], random(300, 2))
				copy(content[size-100:], random(100, 3))
				if err := os.WriteFile(from, content, 0o600); err != nil { // zeros are allocated
					t.Fatal(err)
				}
				tool(t, "qemu-img", "create", "-q", "-f", format, to, "48M")
				var sent atomic.Int64
				socket, end := serveImage(t, to, format, discard, &sent)
				// Everything is written as data.
				tool(t, "qemu-img", "convert", "-n", "-S", "0", "-f", "raw", "-O", "raw", from, url(socket))
				end()
				tool(t, "qemu-img", "compare", "-f", "raw", "-F", format, from, to)
				if n := sent.Load(); n > 12<<20 {
					t.Errorf("%d bytes were sent", n)
				}
				if n := allocated(t, to); n > 13<<20 {
					t.Errorf("it occupies %d bytes", n)
				}
			})
		}
	}
}

// What was written before is written over, however.
func TestZerosOverDataThroughSparseAreZeros(t *testing.T) {
	steps := []string{"write -P 1 0 3M", "write -P 0 1M 1M", "write -P 0 64k 512", "write -f -P 0 2560k 4k", "write -z 2M 64k", "write -z -u 2200k 64k",
		"write -P 0 10M 2M", "write -P 7 10M 64k", "write -P 0 10M 512", "write -P 0 11M 1M", "write -P 9 11M 1M", "write -P 0 11000k 600k",
		"discard 12M 1M", "write -P 3 12M 1M", "write -z 12M 1M", "aio_write -P 4 14M 1M", "aio_write -P 0 15M 1M", "aio_flush", "flush", "read -P 0 15M 1M", "read -P 4 14M 1M"}
	for _, format := range []string{"raw", "qcow2"} {
		for _, discard := range []string{"unmap", "ignore"} {
			t.Run(format+" "+discard, func(t *testing.T) {
				dir := t.TempDir()
				want, got := filepath.Join(dir, "want"), filepath.Join(dir, "got")
				var args []string
				for _, s := range steps {
					args = append(args, "-c", s)
				}
				tool(t, "qemu-img", "create", "-q", "-f", "raw", want, "16M")
				tool(t, "qemu-io", append(append([]string{"-f", "raw"}, args...), want)...)
				tool(t, "qemu-img", "create", "-q", "-f", format, got, "16M")
				var sent atomic.Int64
				socket, end := serveImage(t, got, format, discard, &sent)
				tool(t, "qemu-io", append(append([]string{"-f", "raw"}, args...), url(socket))...)
				end()
				tool(t, "qemu-img", "compare", "-f", "raw", "-F", format, want, got)
				// The client's 13 MiB of payload have 8 MiB that are not zeros.
				if n := sent.Load(); n > 9<<20 {
					t.Errorf("%d bytes were sent", n)
				}
			})
		}
	}
}

func TestPollDoesNotWait(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	conn := func(fd int) net.Conn {
		f := os.NewFile(uintptr(fd), "pair")
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := conn(fds[0]), conn(fds[1])
	defer a.Close()
	s := Sparse(b, nil).(*sparse)
	defer s.Close()
	p := make([]byte, 64<<10)
	if n, err := s.Poll(p); n != 0 || err != nil {
		t.Errorf("of nothing: %d, %v", n, err)
	}
	s.server.saw(taking())
	stream := join(negotiation(8), write(1, 0, make([]byte, 1000)), write(2, 0, random(20000, 1)))
	want := join(negotiation(8), request(0, cmdWriteZeroes, 1, 0, 1000, nil), write(2, 0, random(20000, 1)))
	var got []byte
	for len(stream) > 0 {
		n := min(len(stream), 999)
		if _, err := a.Write(stream[:n]); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
		for {
			n, err := s.Poll(p)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			got = append(got, p[:n]...)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	a.Close()
	if n, err := s.Poll(p); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := s.Read(p); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %d, %v", n, err)
	}
}
