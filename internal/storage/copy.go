package storage

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// exportName is the one NBD export of an image server.
const exportName = "disk"

// readyTimeout bounds the start of qemu-nbd, stopTimeout its end, which
// includes writing out what it holds.
const (
	readyTimeout = 10 * time.Second
	stopTimeout  = 60 * time.Second
)

// ImageServer is a qemu-nbd that lets one client write an image, over a unix
// socket. It is a child of this process.
type ImageServer struct {
	f            Files
	path, socket string
	cmd          *exec.Cmd
	stderr       *bytes.Buffer
	done         chan struct{} // closed after the child was waited for
	waitErr      error
	once         sync.Once
	closeErr     error
}

// ServeImage starts a server for the image at path, which is given up when ctx
// ends. The socket must not exist yet; its path is limited to 107 bytes.
func (f Files) ServeImage(ctx context.Context, path, format, socket string) (*ImageServer, error) {
	if err := checkFormat(format); err != nil {
		return nil, f.failed(path, err)
	}
	if len(socket) > 107 {
		return nil, f.failed(socket, fmt.Errorf("socket path of %d bytes", len(socket)))
	}
	file, err := openImage(path)
	if err != nil {
		return nil, f.failed(path, err)
	}
	defer file.Close()
	pid := socket + ".pid"
	s := &ImageServer{f: f, path: path, socket: socket, stderr: &bytes.Buffer{}, done: make(chan struct{})}
	s.cmd = exec.CommandContext(ctx, "qemu-nbd", "--socket="+socket, "--format="+format, "--export-name="+exportName,
		"--persistent", "--shared=1", "--discard=unmap", "--cache=writeback", "--pid-file="+pid, "--", inherited)
	s.cmd.ExtraFiles = []*os.File{file}
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = stopTimeout
	s.cmd.Stderr = s.stderr
	// The agent's death must not leave a writer of the image behind.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := s.cmd.Start(); err != nil {
		return nil, f.failed(path, err)
	}
	go func() {
		s.waitErr = s.cmd.Wait()
		close(s.done)
	}()
	if err := s.ready(ctx, pid); err != nil {
		return nil, errors.Join(f.failed(path, err), s.Close())
	}
	return s, nil
}

// ready waits for the file that qemu-nbd writes when it listens.
func (s *ImageServer) ready(ctx context.Context, pid string) error {
	defer os.Remove(pid)
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(pid); err == nil && len(b) > 0 {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("qemu-nbd ended: %w: %s", s.waitErr, lastLine(s.stderr.String()))
		case <-ctx.Done():
			return fmt.Errorf("qemu-nbd does not listen: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Socket is where the server listens.
func (s *ImageServer) Socket() string { return s.socket }

// Close ends the server after it wrote everything, and syncs the image; safe
// twice. An error means that the image may be incomplete.
func (s *ImageServer) Close() error {
	s.once.Do(func() {
		early := false
		select {
		case <-s.done:
			early = true
		default:
			_ = s.cmd.Process.Signal(syscall.SIGTERM)
		}
		t := time.AfterFunc(stopTimeout, func() { _ = s.cmd.Process.Kill() })
		<-s.done
		t.Stop()
		if err := os.Remove(s.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.closeErr = s.f.failed(s.socket, err)
		}
		if early || s.waitErr != nil {
			s.closeErr = errors.Join(s.closeErr, s.f.failed(s.path, fmt.Errorf("qemu-nbd ended: %w: %s", s.waitErr, lastLine(s.stderr.String()))))
			return
		}
		s.closeErr = errors.Join(s.closeErr, syncPath(s.path))
	})
	return s.closeErr
}

// percent is qemu-img's progress, such as "    (12.34/100%)".
var percent = regexp.MustCompile(`\((\d+(?:\.\d+)?)/100%\)`)

// PushImage writes the content of the image at path to an ImageServer, of this
// host or behind a relay, whose image is new and of the same virtual size.
// Holes stay holes. progress, if not nil, is called from one goroutine with
// bytes of the virtual size.
func (f Files) PushImage(ctx context.Context, path, format, socket string, progress func(done, total uint64)) error {
	img, err := f.Inspect(ctx, path, format)
	if err != nil {
		return err
	}
	target := (&url.URL{Scheme: "nbd+unix", Path: "/" + exportName, RawQuery: url.Values{"socket": {socket}}.Encode()}).String()
	// Zeros of less than 64 KiB are written with what is about them: cut at each page of zeros,
	// hardly a block of a real file system would be whole, and found among a seed's.
	cmd := exec.CommandContext(ctx, "qemu-img", "convert", "-p", "-n", "--target-is-zero", "-S", "64k", "-t", "writeback",
		"-f", format, "-O", Raw, "--", path, target)
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return f.failed(path, err)
	}
	if err := cmd.Start(); err != nil {
		return f.failed(path, err)
	}
	lines := bufio.NewScanner(out)
	lines.Split(splitProgress)
	for lines.Scan() {
		m := percent.FindSubmatch(lines.Bytes())
		if m == nil || progress == nil {
			continue
		}
		if p, err := strconv.ParseFloat(string(m[1]), 64); err == nil {
			progress(uint64(float64(img.VirtualBytes)*min(p, 100)/100), img.VirtualBytes)
		}
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("copy %s: %w", path, context.Cause(ctx))
		}
		return f.failed(path, fmt.Errorf("qemu-img convert: %w: %s", err, lastLine(errs.String())))
	}
	return nil
}

// splitProgress ends a token at a carriage return or a newline.
func splitProgress(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexAny(data, "\r\n"); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
