package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxPassword bounds what is read as a password.
const maxPassword = 4096

// readPassword asks on the terminal without echo. The terminal is read through
// the runtime's poller, so that ctx ends it, and the echo comes back in any case.
func (a *asker) readPassword(ctx context.Context, question string) (string, error) {
	tty, err := a.open()
	if err != nil {
		return "", fmt.Errorf("open the terminal for a question: %w", err)
	}
	defer func() { _ = tty.Close() }()
	restore, err := echoOff(tty)
	if err != nil {
		return "", fmt.Errorf("turn the terminal's echo off: %w", err)
	}
	defer restore()
	stop := context.AfterFunc(ctx, func() { _ = tty.SetReadDeadline(time.Now()) })
	defer stop()
	_, _ = fmt.Fprint(a.screen.w, clean(question)+" ")
	line, err := readLine(tty)
	_, _ = fmt.Fprintln(a.screen.w)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return line, err
}

// echoOff turns the terminal's echo off and returns what turns it on again.
func echoOff(tty console) (restore func(), err error) {
	f, ok := tty.(*os.File)
	if !ok {
		return nil, errors.New("not a terminal")
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var before *unix.Termios
	change := func(t *unix.Termios) (err error) {
		cerr := raw.Control(func(fd uintptr) {
			if before == nil {
				if before, err = unix.IoctlGetTermios(int(fd), unix.TCGETS); err != nil {
					return
				}
			}
			if t == nil {
				quiet := *before
				quiet.Lflag = quiet.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
				t = &quiet
			}
			err = unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
		})
		return errors.Join(cerr, err)
	}
	if err := change(nil); err != nil {
		return nil, err
	}
	return func() { _ = change(before) }, nil
}

// readLine reads up to a line end or the end of input, byte by byte, so that
// nothing after it is taken.
func readLine(r io.Reader) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < maxPassword {
		n, err := r.Read(one)
		if n == 1 && one[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, one[:n]...)
		if errors.Is(err, io.EOF) {
			return string(line), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("longer than %d bytes", maxPassword)
}
