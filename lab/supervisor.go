package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// controlRequest is one question on a member's control socket; every connection carries one.
type controlRequest struct {
	Op   string   `json:"op"` // start, signal, wait or status
	Name string   `json:"name,omitempty"`
	Argv []string `json:"argv,omitempty"`
	// Env is added to the environment of every process of a member.
	Env    []string `json:"env,omitempty"`
	Signal int      `json:"signal,omitempty"`
}

// controlReply is the answer.
type controlReply struct {
	Error    string          `json:"error,omitempty"`
	Service  ServiceStatus   `json:"service"`
	Services []ServiceStatus `json:"services,omitempty"`
}

// ServiceStatus says how a service of a member is.
type ServiceStatus struct {
	Name    string `json:"name"`
	PID     int    `json:"pid"` // in the member's own PID namespace
	Running bool   `json:"running"`
	// ExitCode is the exit status of a service that has ended, -1 when Signal ended it.
	ExitCode int `json:"exit_code"`
	// Signal is the number of the signal that ended the service, 0 without one.
	Signal int `json:"signal,omitempty"`
}

// supervisor is the part of PID 1 that starts services and collects every process that ends.
type supervisor struct {
	listener net.Listener
	logDir   string

	mu       sync.Mutex
	services map[string]*supervised
}

type supervised struct {
	status ServiceStatus
	ended  chan struct{} // closed when status is final
}

func newSupervisor(listener net.Listener, logDir string) *supervisor {
	return &supervisor{listener: listener, logDir: logDir, services: map[string]*supervised{}}
}

// reap collects children as they end, including those that libvirtd and others left behind: as
// PID 1 this process inherits them. It never returns.
func (s *supervisor) reap() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	for {
		for s.collect() {
		}
		<-signals
	}
}

// collect takes one ended child and records it when it was a service; false when there is none
// left. The lock is held from before the kernel frees the process number, so that signal cannot
// hit another process, and it waits for a start that has forked but not yet recorded its process.
func (s *supervisor) collect() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	if errors.Is(err, syscall.EINTR) {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	for _, service := range s.services {
		if service.status.PID != pid || !service.status.Running {
			continue
		}
		service.status.Running = false
		service.status.ExitCode = status.ExitStatus()
		if status.Signaled() {
			service.status.Signal = int(status.Signal())
		}
		close(service.ended)
	}
	return true
}

// serve answers requests until the process ends.
func (s *supervisor) serve() {
	for {
		connection, err := s.listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "control socket:", err)
			return
		}
		go func() {
			defer func() { _ = connection.Close() }()
			var request controlRequest
			if err := json.NewDecoder(connection).Decode(&request); err != nil {
				return
			}
			_ = json.NewEncoder(connection).Encode(s.answer(request))
		}()
	}
}

func (s *supervisor) answer(request controlRequest) controlReply {
	var reply controlReply
	var err error
	switch request.Op {
	case "start":
		reply.Service, err = s.start(request)
	case "signal":
		reply.Service, err = s.signal(request.Name, syscall.Signal(request.Signal))
	case "wait":
		reply.Service, err = s.wait(request.Name)
	case "status":
		reply.Services = s.status()
	default:
		err = fmt.Errorf("unknown operation %q", request.Op)
	}
	if err != nil {
		reply.Error = err.Error()
	}
	return reply
}

// start runs a program in a session of its own with its output in the service's log.
func (s *supervisor) start(request controlRequest) (ServiceStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.services[request.Name]; old != nil && old.status.Running {
		return old.status, fmt.Errorf("service %s runs already (process %d)", request.Name, old.status.PID)
	}
	path, err := exec.LookPath(request.Argv[0])
	if err != nil {
		return ServiceStatus{}, err
	}
	log, err := os.OpenFile(filepath.Join(s.logDir, request.Name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return ServiceStatus{}, err
	}
	defer func() { _ = log.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return ServiceStatus{}, err
	}
	defer func() { _ = null.Close() }()
	pid, err := syscall.ForkExec(path, request.Argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   append(os.Environ(), request.Env...),
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return ServiceStatus{}, fmt.Errorf("start %s: %w", path, err)
	}
	service := &supervised{
		status: ServiceStatus{Name: request.Name, PID: pid, Running: true},
		ended:  make(chan struct{}),
	}
	s.services[request.Name] = service
	return service.status, nil
}

// signal sends a signal to the service's main process only: what libvirtd leaves behind when it
// is killed, its QEMUs, is meant to live on.
func (s *supervisor) signal(name string, number syscall.Signal) (ServiceStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	service := s.services[name]
	if service == nil {
		return ServiceStatus{}, fmt.Errorf("no service %s was started", name)
	}
	if !service.status.Running {
		return service.status, nil
	}
	return service.status, syscall.Kill(service.status.PID, number)
}

func (s *supervisor) wait(name string) (ServiceStatus, error) {
	s.mu.Lock()
	service := s.services[name]
	s.mu.Unlock()
	if service == nil {
		return ServiceStatus{}, fmt.Errorf("no service %s was started", name)
	}
	<-service.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	return service.status, nil
}

func (s *supervisor) status() []ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []ServiceStatus
	for _, service := range s.services {
		all = append(all, service.status)
	}
	slices.SortFunc(all, func(a, b ServiceStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}
