package soak

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"drover/internal/settings"
	"drover/lab"
)

// VM is one of the guests of the run.
type VM struct {
	Name string `json:"name"`
	Home string `json:"home"` // where it is started
	// Shared: its disk lies where all hosts see it, so its moves have no storage.
	Shared    bool `json:"shared,omitempty"`
	MemoryMiB int  `json:"memory_mib"` // that the guest fills, writes to and verifies
	WriteMiB  int  `json:"write_mib_per_second"`
	DiskMiB   int  `json:"disk_mib"`
}

// VMs are the guests: two with a disk of their host's, one with a shared disk, and
// one of them writes to its memory as fast as an emulated processor lets it.
func VMs() []VM {
	return []VM{
		{Name: "SOAK01", Home: lab.HV01, MemoryMiB: 48, WriteMiB: 4, DiskMiB: 16},
		{Name: "SOAK02", Home: lab.HV02, MemoryMiB: 48, WriteMiB: 12, DiskMiB: 12},
		{Name: "SOAK03", Home: lab.HV03, MemoryMiB: 32, WriteMiB: 2, DiskMiB: 12, Shared: true},
	}
}

// Hosts are the hosts between which they move.
func Hosts() []string { return []string{lab.HV01, lab.HV02, lab.HV03} }

// Plan is one step of the schedule.
type Plan struct {
	Step int `json:"step"` // from 1
	Hop
	Fault Fault `json:"fault"`
	Point Point `json:"point,omitzero"`
	// Outage is for how long the fault lasts, in milliseconds, where it does not pass at once.
	OutageMS int `json:"outage_ms,omitempty"`
	// Beside is another VM's move, without a fault of its own, that begins when this
	// one has reached its point.
	Beside *Hop `json:"beside,omitempty"`
}

// Hop is one VM's way to another host. A move that fails is made again, without a
// fault, so that the VM is at To after the step whatever became of the fault.
type Hop struct {
	VM      string `json:"vm"`
	From    string `json:"from"`
	To      string `json:"to"`
	Storage bool   `json:"storage,omitempty"`
	// Connections, Performance and Bandwidth are options of the move; zero values
	// leave them to the hosts.
	Connections int                  `json:"connections,omitempty"`
	Performance settings.Performance `json:"performance,omitempty"`
	Bandwidth   settings.Rate        `json:"bandwidth_bits_per_second,omitempty"`
}

// Outage is OutageMS as a duration.
func (p Plan) Outage() time.Duration { return time.Duration(p.OutageMS) * time.Millisecond }

func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d: %s", p.Step, p.Hop)
	if p.Fault != None {
		fmt.Fprintf(&b, "; %s, %s", p.Fault.Title(), p.Point)
	}
	if p.OutageMS > 0 {
		fmt.Fprintf(&b, ", for %s", p.Outage())
	}
	if p.Beside != nil {
		fmt.Fprintf(&b, "; beside it %s", p.Beside)
	}
	return b.String()
}

func (h Hop) String() string {
	s := fmt.Sprintf("%s from %s to %s", h.VM, h.From, h.To)
	if h.Storage {
		s += " with its disk"
	}
	if h.Connections > 0 {
		s += fmt.Sprintf(", %d connections", h.Connections)
	}
	if h.Performance != "" {
		s += ", " + string(h.Performance)
	}
	if h.Bandwidth > 0 {
		s += fmt.Sprintf(", %d Mbit/s", h.Bandwidth/1e6)
	}
	return s
}

// Args are the arguments of drover for this move.
func (h Hop) Args() []string {
	args := []string{"move", h.VM, "--host", h.From, "--to", h.To}
	if h.Storage {
		args = append(args, "--include-storage")
	}
	if h.Connections > 0 {
		args = append(args, "--connections", fmt.Sprint(h.Connections))
	}
	if h.Performance != "" {
		args = append(args, "--performance", string(h.Performance))
	}
	if h.Bandwidth > 0 {
		args = append(args, "--bandwidth", fmt.Sprint(uint64(h.Bandwidth)))
	}
	return args
}

// midwayRate makes the transfer of a small guest last long enough to have a middle, and
// carries more than twice what the guest writes meanwhile.
func (vm VM) midwayRate() settings.Rate {
	return max(60_000_000, settings.Rate(vm.WriteMiB)<<20*8*5/2)
}

// Parts of a run, each by its last step: first every VM goes out and home without a
// fault, which fills what is meant to stay; then faults that end no agent, so that
// growth of an agent would show; then everything.
type Parts struct{ WarmUp, AgentsStay int }

// PartsOf a run of so many moves.
func PartsOf(moves int) Parts {
	warm := 2 * len(VMs())
	return Parts{WarmUp: warm, AgentsStay: warm + moves/4}
}

// Schedule plans a run: the same for the same arguments, whatever happens in it.
// There are as many plans as moves; a run needs fewer of them, because moves that are
// made again count too.
func Schedule(seed uint64, moves int) []Plan {
	g := generator{rnd: rand.New(rand.NewPCG(seed, 0x64726f766572)), at: map[string]string{}} //nolint:gosec // to be repeated, not a secret
	for _, vm := range VMs() {
		g.at[vm.Name] = vm.Home
	}
	parts := PartsOf(moves)
	plans := make([]Plan, 0, moves)
	for step := 1; step <= moves; step++ {
		plans = append(plans, g.next(step, parts))
	}
	return plans
}

// Places are the VMs' hosts before a step.
func Places(plans []Plan, step int) map[string]string {
	at := map[string]string{}
	for _, vm := range VMs() {
		at[vm.Name] = vm.Home
	}
	for _, p := range plans {
		if p.Step >= step {
			break
		}
		at[p.VM] = p.To
		if p.Beside != nil {
			at[p.Beside.VM] = p.Beside.To
		}
	}
	return at
}

type generator struct {
	rnd *rand.Rand
	at  map[string]string // VM -> host
}

func (g *generator) next(step int, parts Parts) Plan {
	vms := VMs()
	if step <= parts.WarmUp {
		vm := vms[(step-1)/2]
		h := g.hop(vm)
		if step%2 == 0 {
			h.To, g.at[vm.Name] = vm.Home, vm.Home
		}
		return Plan{Step: step, Fault: None, Hop: h}
	}
	order := g.rnd.Perm(len(vms))
	p := Plan{Step: step, Hop: g.hop(vms[order[0]])}
	k := g.kind(func(k kind) bool {
		switch {
		case step <= parts.AgentsStay && k.endsAgent:
			return false
		case k.fault == DiskFull: // to a guest there it would be a failure of its disk
			return !g.disksAt(p.To, p.VM)
		}
		return true
	})
	if p.Fault = k.fault; p.Fault != None {
		p.Point = pick(g.rnd, k.points)
	}
	if !k.instant {
		// Often shorter than what notices it, sometimes longer.
		p.OutageMS = pick(g.rnd, []int{200, 200, 1000, 1000, 3000, 3000, 10_000, 25_000})
	}
	if p.Point.Midway {
		p.Bandwidth = vms[order[0]].midwayRate()
	}
	if g.rnd.IntN(4) == 0 && p.Fault != DiskFull {
		h := g.hop(vms[order[1]])
		p.Beside = &h
	}
	return p
}

// hop moves a VM on.
func (g *generator) hop(vm VM) Hop {
	from := g.at[vm.Name]
	h := Hop{VM: vm.Name, From: from, Storage: !vm.Shared,
		To: pick(g.rnd, slices.DeleteFunc(Hosts(), func(host string) bool { return host == from }))}
	h.Connections = pick(g.rnd, []int{0, 1, 1, 2})
	h.Performance = pick(g.rnd, []settings.Performance{"", settings.Compression, settings.TCPIP})
	g.at[vm.Name] = h.To
	return h
}

// kind draws a fault by weight.
func (g *generator) kind(may func(kind) bool) kind {
	var all []kind
	for _, k := range kinds {
		for range k.weight {
			if may(k) {
				all = append(all, k)
			}
		}
	}
	return pick(g.rnd, all)
}

// disksAt reports whether another VM has its disk on a host's own storage.
func (g *generator) disksAt(host, but string) bool {
	return slices.ContainsFunc(VMs(), func(vm VM) bool { return vm.Name != but && !vm.Shared && g.at[vm.Name] == host })
}

func pick[T any](rnd *rand.Rand, from []T) T { return from[rnd.IntN(len(from))] }
