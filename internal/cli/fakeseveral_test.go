package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"drover/internal/api"
	"drover/internal/fault"
	"drover/internal/record"
)

// A scenario with lines `for VM` has several moves: what follows such a line
// happens to the move of that VM. Each of them is a fakeAgent of its own behind
// the first one. Lines before the first `for` are the agent's:
//
//	vm NAME [transient] [moving]   the host's VMs are these
//	hold VM CODE ARG=VALUE...      the move of the VM is refused

// section gives the lines for a VM; !several: there are no sections.
func (f *fakeAgent) section(vm string) (lines []string, several bool) {
	mine := false
	for _, l := range f.scenario {
		w := strings.Fields(l)
		if w[0] == "for" {
			several, mine = true, w[1] == vm
			continue
		}
		if mine {
			lines = append(lines, l)
		}
	}
	return lines, several
}

func (f *fakeAgent) startOne(r record.Request, lines []string) (record.Record, error) {
	for _, l := range f.scenario {
		if w := strings.Fields(l); w[0] == "hold" && w[1] == r.VM {
			return record.Record{}, f.fault(w[2:])
		}
	}
	child := newFakeAgent(f.host, strings.Join(lines, "\n"))
	f.change(func() {
		id := fakeID[:len(fakeID)-1] + string("ABCDEFGHJK"[len(f.children)])
		child.parent, child.clock = f, start
		child.rec = record.Record{ID: id, Role: record.Source, Phase: record.Queued, VM: r.VM, Peer: r.Destination, Operator: fakeOperator, Request: r, Created: start, Updated: start}
		for word, on := range f.done {
			child.done[word] = on
		}
		f.children = append(f.children, child)
	})
	ctx, stop := context.WithCancel(context.Background())
	child.stop = stop
	child.wg.Go(func() { child.play(ctx) })
	return child.record(), nil
}

// one is the fake of a move among several, or f itself.
func (f *fakeAgent) one(id string) *fakeAgent {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.children {
		if c.rec.ID == id {
			return c
		}
	}
	return f
}

func (f *fakeAgent) moves() []*fakeAgent {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.children) == 0 {
		return []*fakeAgent{f}
	}
	var out []*fakeAgent
	for _, c := range f.children {
		out = append([]*fakeAgent{c}, out...)
	}
	return out
}

// tell sets a word of done; the agent before several moves has it as VM-WORD.
func (f *fakeAgent) tell(word string, on bool) {
	f.change(func() { f.done[word] = on })
	if f.parent != nil {
		vm := f.record().VM
		f.parent.change(func() { f.parent.done[vm+"-"+word] = on })
	}
}

// tellWatched: a watcher has had n events.
func (f *fakeAgent) tellWatched(n int) {
	var all bool
	f.change(func() { all = n == len(f.events); f.done["watched"] = all })
	if f.parent != nil {
		vm := f.record().VM
		f.parent.change(func() { f.parent.done[vm+"-watched"] = all })
	}
}

// let sets a word for all moves.
func (f *fakeAgent) let(word string) {
	f.tell(word, true)
	for _, c := range f.moves() {
		if c != f {
			c.tell(word, true)
		}
	}
}

// waiting is what `waiting POSITION OF HOST LIMIT` says.
func (f *fakeAgent) waiting(w []string) *record.Waiting {
	var n [2]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(w[i]); err != nil {
			panic(err)
		}
	}
	return &record.Waiting{Position: n[0], Of: n[1], Host: w[2], Since: start, For: fmt.Sprintf("a place among the %s migrations of %s", w[3], w[2])}
}

// listed are the VMs of lines `vm`, nil without any.
func (f *fakeAgent) listed() (out []api.VM) {
	for _, l := range f.scenario {
		w := strings.Fields(l)
		if w[0] != "vm" {
			continue
		}
		vm := api.VM{Name: w[1], UUID: fmt.Sprintf("6f7d9b0e-0000-4000-8000-%012d", len(out)+100), State: "running", MemoryBytes: gib, VCPUs: 1, Disks: []api.Disk{}}
		for _, word := range w[2:] {
			vm.Transient = vm.Transient || word == "transient"
			if word == "moving" {
				vm.Moving = fakeID
			}
		}
		out = append(out, vm)
	}
	return out
}

func (f *fakeAgent) vms() []api.VM {
	if l := f.listed(); l != nil {
		return l
	}
	return fakeVMs()
}

func (f *fakeAgent) vm(name string) (api.VM, error) {
	for _, v := range f.vms() {
		if v.Name == name || v.UUID == name {
			return v, nil
		}
	}
	return api.VM{}, fault.New(fault.VMNotFound, f.host, "vm", name)
}
