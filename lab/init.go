package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// initArgv0 is the argv[0] under which a program that imports this package is started again to be
// a member's PID 1. The arguments are the lab's state directory and the member's name, so that
// every such process can be found and attributed from /proc alone.
const initArgv0 = "drover-lab-init"

// File descriptors that PID 1 gets from the process that raises the lab.
const (
	fdConfig = 3 + iota // read: initConfig as JSON
	fdReady             // write: one line of JSON, initReply, when the member is ready
	fdOwner             // read: end of file before the byte keepByte means "the owner died: end"
)

// keepByte, written to the owner pipe, lets a member outlive the process that made it.
const keepByte = 'K'

// initConfig is what PID 1 of a member has to know.
type initConfig struct {
	Hostname string `json:"hostname"`
	// Socket is the path, outside the member, of the control socket to listen on.
	Socket string `json:"socket"`
	// Root describes the member's file system; nil keeps the machine's (the fabric has no need
	// of its own).
	Root *rootConfig `json:"root,omitempty"`
	// LogDir is the directory, inside the member, for the logs of services.
	LogDir string `json:"log_dir"`
}

// initReply is PID 1's answer once it is ready or has failed.
type initReply struct {
	Error string `json:"error,omitempty"`
}

// init turns this process into a member's PID 1 when it was started as one. It has to be a
// package initialiser because tests have no other place that runs before the testing framework.
func init() {
	if len(os.Args) == 3 && os.Args[0] == initArgv0 {
		os.Exit(runInit())
	}
}

// runInit is PID 1: it builds the member's root, then starts, reaps and reports processes until
// it is killed or its owner dies before letting it go.
func runInit() int {
	ready := os.NewFile(fdReady, "ready")
	server, err := prepareMember()
	reply := initReply{}
	if err != nil {
		reply.Error = err.Error()
	}
	if encodeErr := json.NewEncoder(ready).Encode(reply); encodeErr != nil || err != nil {
		fmt.Fprintln(os.Stderr, "member does not start:", err, encodeErr)
		return 1
	}
	_ = ready.Close()

	orphaned := make(chan struct{})
	go awaitOwner(os.NewFile(fdOwner, "owner"), orphaned)
	go server.reap()
	go server.serve()
	<-orphaned
	fmt.Fprintln(os.Stderr, "the process that raised this lab is gone: ending")
	return 1 // the kernel now kills every process of this PID namespace
}

// prepareMember does everything that can fail before the member is usable.
func prepareMember() (*supervisor, error) {
	// Signals from the machine, a Ctrl-C at the terminal that raised the lab for one, must not
	// end a member; only SIGKILL and the owner pipe do.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	syscall.Umask(0o022)
	var config initConfig
	input := os.NewFile(fdConfig, "config")
	if err := json.NewDecoder(input).Decode(&config); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	_ = input.Close()
	if err := syscall.Sethostname([]byte(config.Hostname)); err != nil {
		return nil, fmt.Errorf("set hostname: %w", err)
	}
	listener, err := net.Listen("unix", config.Socket) // before its path is out of reach
	if err != nil {
		return nil, err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("make mounts private: %w", err)
	}
	if config.Root != nil {
		if err := config.Root.enter(); err != nil {
			return nil, err
		}
	}
	for key, value := range memberEnv {
		if err := os.Setenv(key, value); err != nil {
			return nil, err
		}
	}
	return newSupervisor(listener, config.LogDir), nil
}

// awaitOwner closes orphaned when the other end of the pipe is closed without the keep byte.
func awaitOwner(pipe io.ReadCloser, orphaned chan<- struct{}) {
	defer func() { _ = pipe.Close() }()
	var b [1]byte
	if n, _ := pipe.Read(b[:]); n == 1 && b[0] == keepByte {
		return
	}
	close(orphaned)
}

// memberEnv is the environment of everything that runs in a member.
var memberEnv = map[string]string{
	"PATH": "/opt/drover/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME": "/root",
	"LANG": "C.UTF-8",
}
