package cli

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/krb"
	"drover/internal/spn"
)

// hostsPath is where an administrator lists the hosts of a site, one per line,
// for completion.
const hostsPath = "/etc/drover/hosts"

const (
	// maxHostsFile and maxHosts bound what is read of a list of hosts, and kept in
	// that of the hosts that were met.
	maxHostsFile = 64 << 10
	maxHosts     = 500
)

// hosts completes names of hosts: those of hostsPath, those that this user has
// signed in to, and those of the services that the ticket cache has tickets for.
// None of it asks anybody. Names of hosts have no case: what was typed stays.
func (p *program) hosts(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	names := append(readHosts(hostsPath), readHosts(metPath())...)
	names = append(names, ticketHosts()...)
	var out []string
	for _, n := range names {
		if len(n) >= len(typed) && strings.EqualFold(n[:len(typed)], typed) {
			out = append(out, typed+n[len(typed):])
		}
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.CompactFunc(out, strings.EqualFold), cobra.ShellCompDirectiveNoFileComp
}

// readHosts gives the names in a list of hosts; one that is not there, or is no
// such list, has none.
func readHosts(path string) (names []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(io.LimitReader(f, maxHostsFile))
	for lines.Scan() && len(names) < maxHosts {
		name := strings.TrimSpace(comment.ReplaceAllString(lines.Text(), ""))
		if checkHost("", name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// ticketHosts are the hosts of the services that an agent has.
func ticketHosts() (names []string) {
	for _, service := range krb.CachedServices("", "") {
		n, err := spn.Parse(service)
		if err != nil || !strings.EqualFold(n.Class, spn.Migration) && !strings.EqualFold(n.Class, "HTTP") || checkHost("", n.HostName()) != nil {
			continue
		}
		names = append(names, n.HostName())
	}
	return names
}

// metPath is the list of hosts that this user has signed in to; "" where users
// have no directory for such things.
func metPath() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "drover", "hosts")
}

// meeting is an initiator that keeps the names of the hosts that have proved to
// be who they are, for completion.
type meeting struct {
	api.Initiator
	host string
}

// Initiate implements api.Initiator.
func (m meeting) Initiate(ctx context.Context, service string, binding []byte) ([]byte, func(reply, proof []byte) error, error) {
	token, verify, err := m.Initiator.Initiate(ctx, service, binding)
	if err != nil {
		return token, verify, err
	}
	return token, func(reply, proof []byte) error {
		err := verify(reply, proof)
		if err == nil {
			keepHost(metPath(), m.host)
		}
		return err
	}, nil
}

// keepHost adds a host to a list, the latest last, in one step. A list that
// cannot be written is nobody's trouble: it is a convenience, and of two programs
// that write at once one may be forgotten.
func keepHost(path, host string) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	names := readHosts(path)
	if path == "" || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, host) }) {
		return
	}
	names = append(names, host)
	names = names[max(0, len(names)-maxHosts):]
	if os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".hosts-*")
	if err != nil {
		return
	}
	_, err = f.WriteString(strings.Join(names, "\n") + "\n")
	if f.Close() != nil || err != nil || os.Rename(f.Name(), path) != nil {
		_ = os.Remove(f.Name())
	}
}
