package cli

// The rules of the terminal UI
//
//   - Results go to stdout, everything else (progress, questions, errors) to
//     stderr; so `drover ... > file` and `drover ... | jq` give the result only.
//   - Only a terminal gets a redrawn block, colour and questions. Otherwise
//     progress is plain lines: one per phase, and one every few seconds.
//   - A question has a flag that answers it (--yes). Without a terminal and
//     without the flag the command fails with "confirmation-needed" instead of
//     waiting for an answer that cannot come.
//   - Colour has a meaning (red: failed, green: done, yellow: needs attention)
//     and never carries it alone. NO_COLOR and TERM=dumb turn it off; TERM=dumb
//     also turns the redrawn block off.
//   - A line of the redrawn block is never wider and the block never higher
//     than the terminal, because a wrapped line cannot be taken back.
//   - Text that comes from an agent, a VM's name or a file is cleaned of control
//     characters before it is printed: a VM called "\x1b]0;..." must not write
//     to the operator's terminal.
//   - Sizes are in IEC units (GiB), never mixed with SI units. JSON has bytes.
//   - Nothing is drawn with characters outside ASCII, so that consoles and logs
//     of every kind show the same.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"golang.org/x/term"

	"drover/internal/fault"
)

// screen is where a person sees progress and questions: stderr.
type screen struct {
	w        io.Writer
	terminal bool // stderr is a terminal that can be redrawn
	colour   bool
	size     func() (width, height int)
}

func newScreen(w io.Writer, getenv func(string) string) *screen {
	s := &screen{w: w, size: func() (int, int) { return 80, 24 }}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || getenv("TERM") == "dumb" {
		return s
	}
	s.terminal = true
	s.colour = getenv("NO_COLOR") == ""
	s.size = func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width < 1 || height < 1 {
			return 80, 24
		}
		return width, height
	}
	return s
}

// The colours and what they mean.
const (
	red    = "\x1b[31m" // failed
	green  = "\x1b[32m" // done
	yellow = "\x1b[33m" // needs attention
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

// paint colours s where colour is on.
func (s *screen) paint(colour, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return colour + text + plain
}

// line prints one cleaned line.
func (s *screen) line(format string, args ...any) {
	_, _ = fmt.Fprintln(s.w, clean(fmt.Sprintf(format, args...)))
}

// clean makes control characters visible instead of effective.
func clean(s string) string {
	if strings.IndexFunc(s, control) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if control(r) {
			fmt.Fprintf(&b, "\\x%02x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// control reports characters that move the cursor, change the terminal's state
// or reorder text (the bidirectional controls).
func control(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar
}

// cleanWriter cleans all that passes, except for line ends and tabs, which the
// tables are made of.
type cleanWriter struct{ w io.Writer }

func (c cleanWriter) Write(p []byte) (int, error) {
	var b strings.Builder
	for _, r := range string(p) {
		if r != '\n' && r != '\t' && control(r) {
			fmt.Fprintf(&b, "\\x%02x", r)
			continue
		}
		b.WriteRune(r)
	}
	if _, err := io.WriteString(c.w, b.String()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// asker puts questions to a person. The answers come from the controlling
// terminal through the runtime's poller, so that a question can be withdrawn.
type asker struct {
	screen *screen
	open   func() (console, error)
}

// console is the part of *os.File by which a terminal is asked.
type console interface {
	io.ReadCloser
	SetReadDeadline(time.Time) error
}

// able reports whether there is anybody to ask.
func (a *asker) able() bool { return a != nil && a.open != nil }

func newAsker(stdin io.Reader, s *screen) *asker {
	f, ok := stdin.(*os.File)
	if !ok || !s.terminal || !term.IsTerminal(int(f.Fd())) {
		return &asker{screen: s}
	}
	return &asker{screen: s, open: func() (console, error) { return os.OpenFile("/dev/tty", os.O_RDWR, 0) }}
}

// ask prints the question and returns the answer in lower case, "" when there
// was only a line end. It returns at once with the context's cause when ctx ends.
func (a *asker) ask(ctx context.Context, question string) (string, error) {
	tty, err := a.open()
	if err != nil {
		return "", fmt.Errorf("open the terminal for a question: %w", err)
	}
	defer func() { _ = tty.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = tty.SetReadDeadline(time.Now()) })
	defer stop()
	_, _ = fmt.Fprint(a.screen.w, a.screen.paint(yellow, clean(question))+" ")
	answer, err := bufio.NewReader(tty).ReadString('\n')
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil && err != io.EOF {
		return "", err
	}
	return strings.ToLower(strings.TrimSpace(answer)), nil
}

// confirm asks a yes-or-no question, whose default is no. yes answers it in
// advance; without a terminal it is "confirmation-needed".
func (a *asker) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if !a.able() {
		return fault.New(fault.NeedConfirm, "", "problem", question+" Nobody can be asked: this is not a terminal")
	}
	answer, err := a.ask(ctx, question+" [y/N]")
	switch {
	case errors.Is(err, context.Canceled):
		// The question's line is still open; the terminal has shown "^C" at most.
		_, _ = fmt.Fprintln(a.screen.w)
		return fault.New(fault.Cancelled, "")
	case err != nil:
		return err
	}
	if answer != "y" && answer != "yes" {
		return fault.New(fault.Cancelled, "")
	}
	return nil
}
