package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is drover on a pseudo-terminal, as a person sees it.
type terminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	wg     sync.WaitGroup

	mu      sync.Mutex
	shown   strings.Builder
	changed chan struct{}
}

// onTerminal starts drover with stdin, stdout and stderr on a new
// pseudo-terminal of 80x24, which is its controlling terminal.
func onTerminal(t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	master, slave := openPTY(t)
	defer func() { _ = slave.Close() }()
	path, err := exec.LookPath("drover") // put there by testscript.Main
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, master: master, changed: make(chan struct{}), cmd: exec.Command(path, args...)}
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = slave, slave, slave
	term.cmd.Env = append(append(os.Environ(), "TERM=xterm", "NO_COLOR=", "GORACE=atexit_sleep_ms=0"), env...)
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term.wg.Go(term.read)
	t.Cleanup(func() {
		_ = term.cmd.Process.Kill()
		_ = term.cmd.Wait()
		_ = master.Close()
		term.wg.Wait()
	})
	return term
}

func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var ioErr error
	err = raw.Control(func(fd uintptr) {
		ioErr = errors.Join(unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0),
			unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
		if n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN); err != nil {
			ioErr = errors.Join(ioErr, err)
		}
	})
	if err = errors.Join(err, ioErr); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func (s *terminal) read() {
	b := make([]byte, 4096)
	for {
		n, err := s.master.Read(b)
		s.mu.Lock()
		s.shown.Write(b[:n])
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
		if err != nil { // EIO when the last slave is closed
			return
		}
	}
}

func (s *terminal) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// sees waits for text on the terminal.
func (s *terminal) sees(want string) { s.t.Helper(); s.seesTimes(want, 1) }

// seesTimes waits until text was shown so many times.
func (s *terminal) seesTimes(want string, times int) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		ok, changed := strings.Count(s.shown.String(), want) >= times, s.changed
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			s.t.Fatalf("no %q on the terminal:\n%q", want, s.text())
		}
	}
}

// types sends keys; \x03 is Ctrl-C.
func (s *terminal) types(keys string) {
	s.t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the exit status.
func (s *terminal) ends(status int) {
	s.t.Helper()
	killer := time.AfterFunc(20*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer killer.Stop()
	err := s.cmd.Wait()
	s.wg.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != status {
		s.t.Fatalf("exit status %d (%v), want %d:\n%s", got, err, status, s.text())
	}
}

const runningScenario = `
phase negotiate
plan
phase transfer
progress 25
wait cancelled
end cancelled
`

// startAgent serves a scenario on a socket for the time of the test.
func startAgent(t *testing.T, scenario string) (*serving, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	s, err := serve("HV01", socket, scenario, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s, socket
}

func TestCtrlCAsksAndASecondOneCancels(t *testing.T) {
	s, socket := startAgent(t, runningScenario)
	term := onTerminal(t, nil, "move", "APP01", "--socket", socket, "--to", "HV02")
	term.sees("25%  1.0 GiB / 4.0 GiB  112 MiB/s  3.0 GiB left")
	term.types("\x03")
	term.sees("Cancel the move of APP01? [y/N/d=detach]")
	term.types("n\r")
	term.sees("detach]\x1b[0m n\r\n\r\x1b[1mAPP01  HV01 -> HV02  transfer") // drawn anew below the answer
	s.agent.mu.Lock()
	if s.agent.done["cancelled"] {
		t.Error("cancelled, although the answer was no")
	}
	s.agent.mu.Unlock()
	term.types("\x03")
	term.seesTimes("detach]", 2)
	term.types("\x03")
	term.sees("cancelling the move of APP01")
	term.ends(7)
	term.sees("code: cancelled")
}

func TestCtrlCAnsweredWithYesCancelsAndWithDetachLeavesTheMove(t *testing.T) {
	_, socket := startAgent(t, runningScenario)
	term := onTerminal(t, nil, "move", "APP01", "--socket", socket, "--to", "HV02")
	term.sees("25%")
	term.types("\x03")
	term.sees("detach]")
	term.types("Y\r")
	term.ends(7)

	s, socket := startAgent(t, runningScenario)
	term = onTerminal(t, nil, "move", "APP01", "--socket", socket, "--to", "HV02")
	term.sees("25%")
	term.types("\x03")
	term.sees("detach]")
	term.types("d\r")
	term.sees(fakeID + "\r\n")
	term.ends(0)
	if s.agent.record().Phase.Over() {
		t.Error("the move ended, although it was left to itself")
	}
}

func TestYesAndTermSignalCancelWithoutAQuestion(t *testing.T) {
	_, socket := startAgent(t, runningScenario)
	term := onTerminal(t, nil, "move", "APP01", "--socket", socket, "--to", "HV02", "--yes")
	term.sees("25%")
	term.types("\x03")
	term.ends(7)
	if strings.Contains(term.text(), "detach]") {
		t.Error("--yes did not answer the question")
	}

	_, socket = startAgent(t, runningScenario)
	term = onTerminal(t, nil, "move", "APP01", "--socket", socket, "--to", "HV02")
	term.sees("25%")
	if err := term.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	term.ends(7)
	if strings.Contains(term.text(), "detach]") {
		t.Error("SIGTERM asked a question")
	}
}

func TestAQuestionIsWithdrawnWhenTheMoveEnds(t *testing.T) {
	s, socket := startAgent(t, "plan\nphase transfer\nprogress 25\nwait go\nend done\n")
	term := onTerminal(t, nil, "move", "APP01", "--socket", socket, "--to", "HV02")
	term.sees("25%")
	term.types("\x03")
	term.sees("detach]")
	s.agent.change(func() { s.agent.done["go"] = true })
	term.sees("Moved APP01 from HV01 to HV02")
	term.ends(0)
}

func TestColourAndRedrawAreOffWhereTheyAreNotWanted(t *testing.T) {
	for _, tc := range []struct {
		env            string
		colour, redraw bool
	}{{"NO_COLOR=1", false, true}, {"TERM=dumb", false, false}, {"TERM=xterm", true, true}} {
		t.Run(tc.env, func(t *testing.T) {
			_, socket := startAgent(t, "plan\nphase transfer\nprogress 25\nend fault vm-state vm=APP01 state=crashed\n")
			term := onTerminal(t, []string{tc.env}, "move", "APP01", "--socket", socket, "--to", "HV02")
			term.ends(5)
			if got := strings.Contains(term.text(), red+"drover:"+plain); got != tc.colour {
				t.Errorf("colour: %v, want %v\n%q", got, tc.colour, term.text())
			}
			if got := strings.Contains(term.text(), "\x1b[K"); got != tc.redraw {
				t.Errorf("redrawn: %v, want %v\n%q", got, tc.redraw, term.text())
			}
		})
	}
}

func TestResolveAsksOnATerminal(t *testing.T) {
	s, socket := startAgent(t, "plan\nphase unknown\n")
	term := onTerminal(t, nil, "move", "APP01", "--socket", socket, "--to", "HV02", "--detach")
	term.ends(0)
	resolve := []string{"move", "resolve", fakeID, "--socket", socket, "--keep", "source"}
	for _, tc := range []struct {
		answer string
		status int
	}{{"\r", 7}, {"no\r", 7}, {"\x03", 7}, {"\x04", 7}, {"yes\r", 0}} {
		if s.agent.record().Phase.Over() {
			t.Fatal("resolved without a yes")
		}
		term := onTerminal(t, nil, resolve...)
		term.sees("does not run it? [y/N]")
		term.types(tc.answer)
		term.ends(tc.status)
		if strings.Contains(term.text(), "context canceled") {
			t.Errorf("Ctrl-C is told as what it is inside: %q", term.text())
		}
	}
}

func TestPasswordIsNotShown(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	text := "[libdefaults]\n default_realm = LAB.DROVER.TEST\n dns_lookup_kdc = false\n[realms]\n LAB.DROVER.TEST = {\n  kdc = 127.0.0.1:9\n }\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"KRB5_CONFIG=" + conf, "KRB5CCNAME=FILE:" + filepath.Join(t.TempDir(), "cc")}
	term := onTerminal(t, env, "login", "alice@LAB.DROVER.TEST")
	term.sees("Password for alice@LAB.DROVER.TEST:")
	term.types("hunter2\r")
	term.ends(6) // nothing answers on port 9
	if strings.Contains(term.text(), "hunter2") {
		t.Errorf("the password is on the screen: %q", term.text())
	}

	term = onTerminal(t, env, "login", "alice@LAB.DROVER.TEST")
	term.sees("Password for")
	term.types("\x03")
	term.ends(7)
	raw, err := term.master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		tio, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err != nil || tio.Lflag&unix.ECHO == 0 {
			t.Errorf("the terminal's echo is off after Ctrl-C (%v)", err)
		}
	})
}
