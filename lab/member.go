package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
)

// Member is one machine of a lab.
type Member struct {
	// Name is in the style of the directory: "HV01".
	Name string
	// FQDN is the name in DNS: "hv01.lab.drover.test".
	FQDN string

	spec    spec
	process process
	dir     string // the lab's state directory
}

// Address is the member's IPv4 address in a network, "" when it has none there.
func (m *Member) Address(n Network) string { return m.spec.address(n) }

// PID is the number of the member's PID 1 in the machine's PID namespace.
func (m *Member) PID() int { return m.process.PID }

// Path makes a path inside the member usable from outside, for files and unix sockets alike. It
// must not lead over an absolute symbolic link (/var/run): that would lead out of the member.
func (m *Member) Path(inside string) string {
	return filepath.Join("/proc", strconv.Itoa(m.process.PID), "root", inside)
}

// LogPath is the file with the output of one of the member's services.
func (m *Member) LogPath(service string) string {
	return filepath.Join(m.dir, "logs", m.Name, service+".log")
}

// Command prepares a command that runs inside the member, with the member's environment and not
// the caller's; append to Env for more. When ctx ends, the command is killed.
func (m *Member) Command(ctx context.Context, argv ...string) *exec.Cmd {
	args := []string{
		"-t", strconv.Itoa(m.process.PID), "-m", "-u", "-i", "-n", "-p", "--",
		// nsenter has to fork to enter a PID namespace; this ties that child to nsenter.
		"setpriv", "--pdeathsig", "KILL", "--",
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, argv...)...)
	for key, value := range memberEnv {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return killEntered(cmd.Process) }
	return cmd
}

// killEntered kills what nsenter runs, so that nsenter reaps it and ends. Without nsenter it would
// fall to the machine's PID 1, and if that does not reap, as in many containers, it would
// remain in the member's PID namespace, which then cannot end.
func killEntered(nsenter *os.Process) error {
	child, err := childOf(nsenter.Pid)
	if err != nil || child == 0 { // it has not forked yet
		return nsenter.Kill()
	}
	return syscall.Kill(child, syscall.SIGKILL)
}

// Run runs a command inside the member and returns what it wrote to its standard output. The
// error has the command and what it wrote to its standard error.
func (m *Member) Run(ctx context.Context, argv ...string) (string, error) {
	out, err := m.Command(ctx, argv...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return string(out), fmt.Errorf("%s: %q: %w: %s%s", m.Name, argv, err, exit.Stderr, out)
		}
		return string(out), fmt.Errorf("%s: %q: %w", m.Name, argv, err)
	}
	return string(out), nil
}

// Service is a program that the member's PID 1 runs in the background.
type Service struct {
	Name string // also names its log
	Argv []string
	Env  []string // "KEY=value", beside the member's environment
	// Ready, when set, is called until it returns nil; ReadyWithin limits that (20 s when zero).
	Ready       func(context.Context) error
	ReadyWithin time.Duration
}

// Start starts a service and waits until it is ready. A service that ends before is an error
// that quotes the end of its log.
func (m *Member) Start(ctx context.Context, s Service) error {
	if _, err := m.control(ctx, controlRequest{Op: "start", Name: s.Name, Argv: s.Argv, Env: s.Env}); err != nil {
		return err
	}
	if s.Ready == nil {
		return nil
	}
	limit := s.ReadyWithin
	if limit == 0 {
		limit = 20 * time.Second
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if status, err := m.Wait(ctx, s.Name); err == nil {
			cancel(fmt.Errorf("it ended with status %d, signal %d", status.ExitCode, status.Signal))
		}
	}()
	err := until(ctx, limit, m.Name+"'s "+s.Name, s.Ready)
	if err != nil {
		err = errors.Join(err, context.Cause(ctx), fmt.Errorf("end of %s:\n%s", m.LogPath(s.Name), tail(m.LogPath(s.Name))))
	}
	cancel(nil)
	<-watched
	return err
}

// Signal sends a signal to a service's main process. Sending one to a service that has ended is
// not an error.
func (m *Member) Signal(ctx context.Context, service string, number syscall.Signal) error {
	_, err := m.control(ctx, controlRequest{Op: "signal", Name: service, Signal: int(number)})
	return err
}

// Wait waits for a service to end.
func (m *Member) Wait(ctx context.Context, service string) (ServiceStatus, error) {
	reply, err := m.control(ctx, controlRequest{Op: "wait", Name: service})
	return reply.Service, err
}

// Stop sends a signal to a service and waits for its end. A service that was never started is
// not an error.
func (m *Member) Stop(ctx context.Context, service string, number syscall.Signal) (ServiceStatus, error) {
	services, err := m.Services(ctx)
	if err != nil {
		return ServiceStatus{}, err
	}
	for _, s := range services {
		if s.Name != service {
			continue
		}
		if err := m.Signal(ctx, service, number); err != nil {
			return s, err
		}
		return m.Wait(ctx, service)
	}
	return ServiceStatus{Name: service}, nil
}

// Services lists the services that were started, sorted by name.
func (m *Member) Services(ctx context.Context) ([]ServiceStatus, error) {
	reply, err := m.control(ctx, controlRequest{Op: "status"})
	return reply.Services, err
}

// control asks the member's PID 1.
func (m *Member) control(ctx context.Context, request controlRequest) (controlReply, error) {
	var reply controlReply
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "unix", controlSocket(m.dir, m.Name))
	if err != nil {
		return reply, fmt.Errorf("%s: %w", m.Name, err)
	}
	defer func() { _ = connection.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	if err := json.NewEncoder(connection).Encode(request); err != nil {
		return reply, fmt.Errorf("%s: %s %s: %w", m.Name, request.Op, request.Name, errors.Join(context.Cause(ctx), err))
	}
	if err := json.NewDecoder(connection).Decode(&reply); err != nil {
		return reply, fmt.Errorf("%s: %s %s: %w", m.Name, request.Op, request.Name, errors.Join(context.Cause(ctx), err))
	}
	if reply.Error != "" {
		return reply, fmt.Errorf("%s: %s %s: %s", m.Name, request.Op, request.Name, reply.Error)
	}
	return reply, nil
}

func controlSocket(dir, member string) string { return filepath.Join(dir, "ctl", member+".sock") }

// InNetwork runs f on a thread that is in the member's network namespace. Sockets that f makes
// belong to the member for good. f must make them itself, not in goroutines it starts.
func (m *Member) InNetwork(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread is in a foreign namespace and ends with this goroutine.
		runtime.LockOSThread()
		result <- func() error {
			ns, err := netns.GetFromPid(m.process.PID)
			if err != nil {
				return err
			}
			defer func() { _ = ns.Close() }()
			if err := netns.Set(ns); err != nil {
				return fmt.Errorf("enter network of %s: %w", m.Name, err)
			}
			return f()
		}()
	}()
	return <-result
}

// Dial opens a connection from inside the member. The host part of address is an IP address or
// the name of a member (short or full), which stands for its management address.
func (m *Member) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	resolved, err := resolve(address)
	if err != nil {
		return nil, err
	}
	var connection net.Conn
	err = m.InNetwork(func() error {
		var dialer net.Dialer
		connection, err = dialer.DialContext(ctx, network, resolved)
		return err
	})
	return connection, err
}

// Listen listens inside the member.
func (m *Member) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	var listener net.Listener
	err := m.InNetwork(func() (err error) {
		var config net.ListenConfig
		listener, err = config.Listen(ctx, network, address)
		return err
	})
	return listener, err
}

// ListenPacket opens a packet socket inside the member.
func (m *Member) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	var packets net.PacketConn
	err := m.InNetwork(func() (err error) {
		var config net.ListenConfig
		packets, err = config.ListenPacket(ctx, network, address)
		return err
	})
	return packets, err
}

// resolve replaces a member's name by its management address. A resolver in the standard library
// would ask on some other thread, outside the member.
func resolve(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if net.ParseIP(host) != nil {
		return address, nil
	}
	for _, s := range members {
		if equalFold(host, s.name) || equalFold(host, s.fqdn()) {
			return net.JoinHostPort(s.address(Management), port), nil
		}
	}
	return "", fmt.Errorf("%s is no member of the lab", host)
}
