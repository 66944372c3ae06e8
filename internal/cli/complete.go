package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"drover/internal/api"
	"drover/internal/eventlog"
	"drover/internal/record"
	"drover/internal/settings"
)

// completionTime is how long a shell waits for an agent's answer at most.
const completionTime = 1500 * time.Millisecond

// maxCompleted bounds the moves that are offered.
const maxCompleted = 20

// complete gives every argument and flag of the tree its completion. They are
// found by what the help calls them (VM, HOST, ID) and by the flags' names, so a
// new verb that uses the same words need not do anything. What a verb has
// registered itself stays.
func (p *program) complete(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		p.complete(sub)
	}
	if cmd.DisableFlagParsing {
		return
	}
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = p.arguments(cmd)
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, registered := cmd.GetFlagCompletionFunc(f.Name); registered || f.NoOptDefVal != "" {
			return
		}
		if c := p.flag(f); c != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, c) // the flag is there: it is being visited
		}
	})
}

// arguments completes what the first word of the command's usage names, and
// nothing more where it is not to be repeated. nil leaves it to the shell, which
// knows files.
func (p *program) arguments(cmd *cobra.Command) cobra.CompletionFunc {
	word := ""
	if words := strings.Fields(cmd.Use); len(words) > 1 && !strings.HasPrefix(words[1], "-") {
		word = strings.Trim(words[1], "[]")
	}
	kind, repeated := strings.CutSuffix(word, "...")
	var c cobra.CompletionFunc
	switch kind {
	case "FILE", "PLAN", "BASELINE":
		return nil
	case "VM":
		c = p.asked(vmNames)
	case "HOST":
		c = p.hosts
	case "ID":
		c = p.asked(moveIDs(cmd.Name()))
	default:
		return cobra.NoFileCompletions
	}
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !repeated {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		words, directive := c(cmd, args, typed)
		return slices.DeleteFunc(words, func(w string) bool {
			name, _, _ := strings.Cut(w, "\t")
			return slices.Contains(args, name)
		}), directive
	}
}

// words are the values of flags that are the same wherever they occur.
var words = map[string][]string{
	"performance":       {string(settings.TCPIP), string(settings.Compression), string(settings.SMB)},
	"authentication":    {string(settings.Kerberos), string(settings.CredSSP)},
	"encryption":        {string(settings.Required), string(settings.Allowed), string(settings.Off)},
	"level":             {string(eventlog.Information), string(eventlog.Warning), string(eventlog.Error)},
	"on-timeout":        {string(record.TimeoutAbort), string(record.TimeoutPause)},
	"keep":              {string(api.KeepSource), string(api.KeepDestination)},
	"compression-cores": {"auto"},
	"live-migration":    {"on", "off"},
	"incoming":          {"on", "off"},
	"outgoing":          {"on", "off"},
	"any-network":       {"on", "off"},
}

// flag completes a flag's value; nil leaves it to the shell.
func (p *program) flag(f *pflag.Flag) cobra.CompletionFunc {
	switch f.Name {
	case "host", "to":
		return p.hosts
	case "vm":
		return p.asked(vmNames)
	case "network", "add-network":
		return p.asked(hostNetworks)
	case "remove-network":
		return p.asked(migrationNetworks)
	case "id":
		return fixed(eventNumbers()...)
	}
	if w := words[f.Name]; w != nil {
		return fixed(w...)
	}
	switch value, _ := pflag.UnquoteUsage(f); strings.ToLower(value) {
	case "file", "path", "directory":
		return nil
	}
	return cobra.NoFileCompletions
}

// asked completes with what an agent answers: that of --host or --socket, as for
// the verb itself. An agent that does not answer in time, or not to this user,
// leaves the word as it was typed: a shell has no place for an error.
func (p *program) asked(ask func(context.Context, agent) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return p.askedAt(targetOf(cmd), ask)(cmd, args, typed)
	}
}

// askedAt is asked with the agent said.
func (p *program) askedAt(t target, ask func(context.Context, agent) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		const nothing = cobra.ShellCompDirectiveNoFileComp
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, completionTime)
		defer cancel()
		var found []string
		err := p.with(ctx, t, func(a agent) (err error) {
			found, err = ask(ctx, a)
			return err
		})
		if err != nil {
			return nil, nothing
		}
		return slices.DeleteFunc(found, func(w string) bool {
			name, _, _ := strings.Cut(w, "\t")
			return !harmless(name)
		}), nothing
	}
}

// targetOf is the agent that a command line names so far, of several the first.
func targetOf(cmd *cobra.Command) target {
	t := target{socket: DefaultSocket}
	if f := cmd.Flags().Lookup("host"); f != nil {
		t.host = f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			t.host = strings.Join(list.GetSlice()[:min(1, len(list.GetSlice()))], "")
		}
	}
	if f := cmd.Flags().Lookup("socket"); f != nil && f.Value.String() != "" {
		t.socket = f.Value.String()
	}
	return t
}

// harmless words mean to every shell what they say. Others are not offered: a
// host may call its VMs what it likes, and shells put some completions into the
// command line as they are.
func harmless(word string) bool {
	return word != "" && word[0] != '-' && !strings.ContainsFunc(word, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.+@:/", r)
	})
}

// described joins a word and what a shell may show beside it.
func described(word string, about ...string) string {
	return word + "\t" + clean(strings.Join(about, " "))
}

func vmNames(ctx context.Context, a agent) ([]string, error) {
	vms, err := a.VMs(ctx)
	var out []string
	for _, v := range vms {
		out = append(out, described(v.Name, v.State))
	}
	return out, err
}

// moveIDs are the moves that a verb can do something with.
func moveIDs(verb string) func(context.Context, agent) ([]string, error) {
	return func(ctx context.Context, a agent) ([]string, error) {
		moves, err := a.Moves(ctx, api.MoveFilter{Active: verb != "show", Limit: maxCompleted})
		var out []string
		for _, m := range moves {
			if verb == "resolve" && m.Phase != record.Unknown {
				continue
			}
			from, to := ends(&m)
			out = append(out, described(m.ID, m.VM, "from", from, "to", to+",", string(m.Phase)))
		}
		return out, err
	}
}

func eventNumbers() (out []string) {
	for _, k := range eventlog.All() {
		out = append(out, described(strconv.Itoa(int(k.ID)), k.Title))
	}
	return out
}

// hostNetworks are the subnets in which a host has addresses.
func hostNetworks(ctx context.Context, a agent) ([]string, error) {
	adapters, err := a.NetworkAdapters(ctx)
	var out []string
	for _, n := range adapters {
		for _, address := range n.Addresses {
			if ip := address.Addr(); !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
				out = append(out, described(address.Masked().String(), n.Name))
			}
		}
	}
	return out, err
}

func migrationNetworks(ctx context.Context, a agent) ([]string, error) {
	s, err := a.Settings(ctx)
	var out []string
	for _, n := range s.Subnets() {
		out = append(out, n.String())
	}
	return out, err
}
