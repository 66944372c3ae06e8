package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// child is a member that this process has started and still can let go or end by dying.
type child struct {
	process process
	owner   *os.File // write end of the owner pipe
	ended   chan struct{}
}

// release lets the member live on when this process ends.
func (c *child) release() error {
	_, err := c.owner.Write([]byte{keepByte})
	return errors.Join(err, c.owner.Close())
}

// spawn starts a member's PID 1 in new namespaces and returns once it is ready for use.
func spawn(ctx context.Context, lab, name string, flags uintptr, config initConfig) (*child, error) {
	pipes, err := newPipes(3)
	if err != nil {
		return nil, err
	}
	defer pipes.close()
	configR, configW := pipes.pair(0)
	readyR, readyW := pipes.pair(1)
	ownerR, ownerW := pipes.pair(2)

	log, err := os.OpenFile(filepath.Join(stateDir(lab), "logs", name, "init.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := &exec.Cmd{
		Path:        "/proc/self/exe",
		Args:        []string{initArgv0, stateDir(lab), name},
		Env:         []string{"PATH=" + memberEnv["PATH"]},
		Dir:         "/",
		Stdout:      log,
		Stderr:      log,
		ExtraFiles:  []*os.File{configR, readyW, ownerR}, // in the order of fdConfig, fdReady, fdOwner
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: flags, Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		_ = ownerW.Close()
		close(c.ended)
	}()
	if c.process, err = identify(cmd.Process.Pid); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	pipes.closePeers(configR, readyW, ownerR)
	if err := json.NewEncoder(configW).Encode(config); err != nil {
		return nil, fmt.Errorf("configure %s: %w", name, err)
	}
	if err := awaitReady(ctx, readyR); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), c.process.kill(ctx))
	}
	c.owner = pipes.keep(ownerW)
	return c, nil
}

// awaitReady reads the member's only message.
func awaitReady(ctx context.Context, ready *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = ready.Close() })
	defer stop()
	line, err := bufio.NewReader(ready).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no sign of life (see init.log): %w", errors.Join(context.Cause(ctx), err))
	}
	var reply initReply
	if err := json.Unmarshal(line, &reply); err != nil {
		return err
	}
	if reply.Error != "" {
		return errors.New(reply.Error)
	}
	return nil
}

// pipeSet closes every end that is not kept.
type pipeSet struct{ files []*os.File }

func newPipes(n int) (*pipeSet, error) {
	set := &pipeSet{}
	for range n {
		r, w, err := os.Pipe()
		if err != nil {
			set.close()
			return nil, err
		}
		set.files = append(set.files, r, w)
	}
	return set, nil
}

func (s *pipeSet) pair(i int) (r, w *os.File) { return s.files[2*i], s.files[2*i+1] }

func (s *pipeSet) closePeers(files ...*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// keep takes f out of the set.
func (s *pipeSet) keep(f *os.File) *os.File {
	for i, other := range s.files {
		if other == f {
			s.files[i] = nil
		}
	}
	return f
}

func (s *pipeSet) close() {
	for _, f := range s.files {
		if f != nil {
			_ = f.Close()
		}
	}
}
