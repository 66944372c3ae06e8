package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"drover/internal/cmdlet"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/settings"
)

// runNative carries a call out by the verb that does the same: once for all hosts
// where the verb takes several, else on one after the other.
func (p *program) runNative(ctx context.Context, call *cmdlet.Call, d *dressing) error {
	hosts := d.hosts(call)
	if len(hosts) == 1 || call.Together() && !slices.Contains(hosts, "") {
		return p.nativeOn(ctx, call, d, hosts)
	}
	if p.out != table {
		return p.documents(ctx, call, d, hosts)
	}
	var first error
	for _, host := range hosts {
		if err := p.nativeOn(ctx, call, d, []string{host}); err != nil {
			p.report(err)
			first = cmp.Or[error](first, reported{err})
			if stopsAt(call, err) {
				break
			}
		}
	}
	return first
}

// stopsAt reports whether the next host is left alone after an error.
func stopsAt(call *cmdlet.Call, err error) bool {
	return strings.EqualFold(call.Text("ErrorAction"), "stop") || fault.Is(err, fault.Cancelled) || fault.Is(err, fault.NeedConfirm)
}

// documents runs the verb on one host after the other and makes one document: an
// array of what it prints for each.
func (p *program) documents(ctx context.Context, call *cmdlet.Call, d *dressing, hosts []string) error {
	form, out := p.out, p.stdout
	defer func() { p.out, p.stdout = form, out }()
	all := []json.RawMessage{}
	var first error
	for _, host := range hosts {
		var b bytes.Buffer
		p.out, p.stdout = jsonForm, &b
		err := p.nativeOn(ctx, call, d, []string{host}, "-o", "json")
		if err != nil {
			p.report(err)
			first = cmp.Or[error](first, reported{err})
		}
		all = append(all, oneByOne(b.Bytes())...)
		if err != nil && stopsAt(call, err) {
			break
		}
	}
	p.out, p.stdout = form, out
	if err := p.out.write(p.stdout, all); err != nil {
		return err
	}
	return first
}

// oneByOne are the elements of an array, or the one document that is none.
func oneByOne(b []byte) (list []json.RawMessage) {
	if len(b) == 0 || json.Unmarshal(b, &list) == nil {
		return list
	}
	return []json.RawMessage{b}
}

// nativeOn runs the verb on hosts, or tells what it would be.
func (p *program) nativeOn(ctx context.Context, call *cmdlet.Call, d *dressing, hosts []string, more ...string) error {
	var present []settings.Network
	if call.NeedsNetworks() {
		err := p.with(ctx, d.at(hosts[0]), func(a agent) error {
			s, err := a.Settings(ctx)
			present = s.Networks
			return err
		})
		if err != nil {
			return err
		}
	}
	if hosts[0] == d.target.host {
		hosts = nil // it is among the options, or this machine
	}
	args, err := call.Native(hosts, present)
	if err != nil {
		return misuseOf(call.Cmdlet, err)
	}
	line := "drover " + finding.Quote(finding.Shell, args...)
	if call.On("Verbose") {
		p.screen.line("VERBOSE: %s", line)
	}
	if call.On("WhatIf") && !call.PlansItself() {
		return p.whatIf(line)
	}
	if call.On("Confirm") && !call.On("WhatIf") {
		if err := p.asker.confirm(ctx, d.answered(), call.Cmdlet.Name+": "+line+" ?"); err != nil {
			return err
		}
	}
	return p.again(ctx, append(args, more...))
}

// whatIf says what is not done.
func (p *program) whatIf(line string) error {
	if p.out != table {
		return p.out.write(p.stdout, map[string]string{"what_if": line})
	}
	_, err := fmt.Fprintf(p.stdout, "What if: %s\n", clean(line))
	return err
}

// again runs a verb of drover within this one.
func (p *program) again(ctx context.Context, args []string) error {
	p.started = false // until its words are understood
	err := p.execute(ctx, args)
	if err != nil && !p.started {
		err = usage(err, args)
	}
	p.started = true
	return err
}
