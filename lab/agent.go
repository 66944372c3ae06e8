package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"

	"drover/internal/config"
)

// AgentService is the name of droverd's service in a host.
const AgentService = "droverd"

const (
	// DefaultAgent is the program, in bin of the assets, that hosts run as their agent.
	DefaultAgent = "droverd"
	// GuestDir is where a host finds the test guest's kernel and initramfs.
	GuestDir = AssetsDir + "/guest"
)

// raiseAgents configures the agents and starts them where there is one.
func (l *Lab) raiseAgents(ctx context.Context, o Options) error {
	for _, m := range l.Hosts() {
		if err := l.ConfigureAgent(m.Name, nil); err != nil {
			return err
		}
	}
	if o.NoAgents {
		return nil
	}
	if o.Assets == "" || !exists(filepath.Join(o.Assets, "bin", o.Agent)) {
		o.Progress("no agents: there is no bin/%s in %q", o.Agent, o.Assets)
		return nil
	}
	o.Progress("agents")
	return inParallel(l.Hosts(), func(m *Member) error { return l.StartAgent(ctx, m.Name) })
}

// AgentConfig is the configuration with which the lab's agents start: the storage of the lab and
// the role groups of the directory. Seeds are not kept: a move measures and leaves the same as the
// one before it.
func (l *Lab) AgentConfig(host string) *config.Config {
	sids := l.state.GroupSIDs
	return &config.Config{
		Host:    host,
		Storage: config.Storage{Roots: []string{VMDir, SharedDir}, BootRoots: []string{GuestDir}, Seeds: config.Seeds{MaxAge: new(config.Duration)}},
		Roles: config.Roles{
			Viewer:        []string{sids[GroupViewers]},
			Operator:      []string{sids[GroupOperators]},
			Administrator: []string{sids[GroupAdministrators], "local:root"},
		},
		LocalUsers: map[string]string{"root": UserAdmin + "@" + Realm},
		Log:        config.Log{Level: "debug"},
	}
}

// ConfigureAgent writes a host's drover.yaml: AgentConfig with change applied, when there is one.
// A running agent reads it when it is started again.
func (l *Lab) ConfigureAgent(host string, change func(*config.Config)) error {
	m, err := l.host(host)
	if err != nil {
		return err
	}
	c := l.AgentConfig(host)
	if change != nil {
		change(c)
	}
	raw, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("configuration of %s: %w", host, err)
	}
	return os.WriteFile(m.Path(config.DefaultPath), raw, 0o644)
}

// StartAgent starts a host's droverd, with env ("KEY=value") added to its environment, and waits
// until it answers on its local socket and on the management network. The first time, on a host on
// which nothing was ever set, it is given AgentSettings.
func (l *Lab) StartAgent(ctx context.Context, host string, env ...string) error {
	m, err := l.host(host)
	if err != nil {
		return err
	}
	argv := []string{AssetsDir + "/bin/" + l.state.Agent, "--config", config.DefaultPath}
	if l.state.Unit != "" {
		if argv, err = l.Confined(host, argv...); err != nil {
			return err
		}
	}
	err = m.Start(ctx, Service{
		Name: AgentService,
		Argv: argv,
		Env:  env,
		Ready: func(ctx context.Context) error {
			if err := dialUnix(ctx, m.Path(agentSocket)); err != nil {
				return err
			}
			return dialAll(ctx, m, fmt.Sprint(config.APIPort))
		},
	})
	if err != nil {
		return err
	}
	return l.firstSettings(ctx, host)
}

// StopAgent asks a host's droverd to end, with SIGTERM, and returns when it has.
func (l *Lab) StopAgent(ctx context.Context, host string) (ServiceStatus, error) {
	return l.endAgent(ctx, host, syscall.SIGTERM)
}

// KillAgent ends a host's droverd with SIGKILL, as a crash would, and returns when it is gone.
func (l *Lab) KillAgent(ctx context.Context, host string) error {
	_, err := l.endAgent(ctx, host, syscall.SIGKILL)
	return err
}

func (l *Lab) endAgent(ctx context.Context, host string, number syscall.Signal) (ServiceStatus, error) {
	m, err := l.host(host)
	if err != nil {
		return ServiceStatus{}, err
	}
	return m.Stop(ctx, AgentService, number)
}

// RestartAgent stops a host's droverd, however long its moves take, and starts it again.
func (l *Lab) RestartAgent(ctx context.Context, host string, env ...string) error {
	if _, err := l.StopAgent(ctx, host); err != nil {
		return err
	}
	return l.StartAgent(ctx, host, env...)
}

// AwaitAgentExit waits until a host's droverd has ended by itself, for tests that make it crash.
func (l *Lab) AwaitAgentExit(ctx context.Context, host string, limit time.Duration) (ServiceStatus, error) {
	m, err := l.host(host)
	if err != nil {
		return ServiceStatus{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errors.New("droverd still runs"))
	defer cancel()
	return m.Wait(ctx, AgentService)
}
