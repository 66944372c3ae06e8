package lab

import (
	"context"
	"net/netip"

	"drover/internal/api"
	"drover/internal/settings"
)

// agentSocket is where a host's agent listens for local users.
const agentSocket = "/run/drover/droverd.sock"

// AgentSettings is what the lab sets on a host first: migration in both directions, on the
// migration network.
func AgentSettings() settings.Change {
	on := true
	networks := []settings.Network{{Subnet: netip.MustParsePrefix(Migration.Subnet())}}
	return settings.Change{Incoming: &on, Outgoing: &on, Networks: &networks}
}

// Settings reads the settings of a host from its agent.
func (l *Lab) Settings(ctx context.Context, host string) (s settings.Settings, err error) {
	err = l.local(host, func(c *api.Client) error {
		s, err = c.Settings(ctx)
		return err
	})
	return s, err
}

// SetSettings changes the settings of a host as its local administrator, and gives them back. They
// outlive the agent's restart.
func (l *Lab) SetSettings(ctx context.Context, host string, ch settings.Change) (s settings.Settings, err error) {
	err = l.local(host, func(c *api.Client) error {
		s, err = c.ChangeSettings(ctx, ch)
		return err
	})
	return s, err
}

// Local gives a client of the host's local socket, who is its administrator. It may outlive the
// agent. Close it.
func (l *Lab) Local(host string) (*api.Client, error) {
	m, err := l.host(host)
	if err != nil {
		return nil, err
	}
	return api.NewClient(api.ClientOptions{Address: "unix:" + m.Path(agentSocket), Host: host})
}

// local calls f with a client of the host's local socket.
func (l *Lab) local(host string, f func(*api.Client) error) error {
	c, err := l.Local(host)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

// firstSettings gives AgentSettings to a host on which nothing was ever set.
func (l *Lab) firstSettings(ctx context.Context, host string) error {
	s, err := l.Settings(ctx, host)
	if err != nil || s.Revision > 0 {
		return err
	}
	_, err = l.SetSettings(ctx, host, AgentSettings())
	return err
}
