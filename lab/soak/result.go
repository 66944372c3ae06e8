package soak

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"drover/internal/record"
)

// Result is build/soak.json.
type Result struct {
	// Seed and Planned are what Schedule was given; Only is the one step that was
	// tried again, 0 for all.
	Seed    uint64        `json:"seed"`
	Planned int           `json:"planned"`
	Only    int           `json:"only,omitempty"`
	Limit   time.Duration `json:"limit_ns"`

	Started    time.Time `json:"started"`
	DurationMS int64     `json:"duration_ms"`
	// Stopped says why there are fewer moves than planned, "" if there are not.
	Stopped string `json:"stopped,omitempty"`

	Versions map[string]string `json:"versions"`
	VMs      []VM              `json:"vms"`

	// Moves were made, those again and beside others among them; by how they ended,
	// and by fault. Sum fills these in.
	Moves    int            `json:"moves"`
	Outcomes map[string]int `json:"outcomes"`
	Faults   []FaultCount   `json:"faults"`

	// Broken is what should never be. Empty is what a run is to show.
	Broken []Broken `json:"broken"`

	Growth []Figure `json:"growth"`
	// Grown are kinds of which a census at the end has more than one after the warm-up;
	// LibvirtGrown those that are libvirt's own, which was killed in the middle of writing them.
	Grown        []string `json:"grown"`
	LibvirtGrown []string `json:"libvirt_grown,omitempty"`
	// Heartbeats is how many answers of the guests were looked at for second copies.
	Heartbeats uint64 `json:"heartbeats"`
	// Copies is the largest number of running copies of any VM at any instant.
	Copies int `json:"most_running_copies"`

	Steps []Step `json:"steps"`
}

// Step is a plan and what became of it.
type Step struct {
	Plan Plan   `json:"plan"`
	Made []Made `json:"made"`
	// SettledMS is from when nothing was broken any more until both journals had the
	// end of each move.
	SettledMS int64 `json:"settled_ms"`
	TookMS    int64 `json:"took_ms"`
	// Missed: the move was over before it came to the point, or there was nothing left to
	// break, so that nothing was done to it.
	Missed bool `json:"missed,omitempty"`
	// Notes are what the fault told of itself.
	Notes []string `json:"notes,omitempty"`
}

// Made is one move that was made. Again: after a first one had failed, without a
// fault. Beside: the one without a fault that went on beside the other.
type Made struct {
	ID     string       `json:"id,omitempty"` // "" when it was refused or never begun
	VM     string       `json:"vm"`
	Again  bool         `json:"again,omitempty"`
	Beside bool         `json:"beside,omitempty"`
	Phase  record.Phase `json:"phase"`          // done, failed, cancelled
	Code   string       `json:"code,omitempty"` // of the error
	Error  string       `json:"error,omitempty"`
	Host   string       `json:"host"` // that has the VM after it
	// BlackoutMS is the longest silence of the guest during the step.
	BlackoutMS int64 `json:"blackout_ms"`
}

// Broken is a promise that was not kept.
type Broken struct {
	Step int    `json:"step"`
	VM   string `json:"vm,omitempty"`
	Move string `json:"move,omitempty"`
	What string `json:"what"`
}

func (b Broken) String() string {
	s := fmt.Sprintf("step %d", b.Step)
	if b.VM != "" {
		s += ", " + b.VM
	}
	if b.Move != "" {
		s += ", move " + b.Move
	}
	return s + ": " + b.What
}

// FaultCount is what became of the moves to which a fault happened.
type FaultCount struct {
	Fault  Fault `json:"fault"`
	Moves  int   `json:"moves"`
	Done   int   `json:"done"`
	Stayed int   `json:"stayed"` // failed or cancelled: the VM ran on where it was
	Missed int   `json:"missed"` // over before the fault's point
	// Settled is the time after the fault until both journals had the end.
	SettledMedianMS int64 `json:"settled_median_ms"`
	SettledMaxMS    int64 `json:"settled_max_ms"`
	settled         []int64
}

// Sum counts what the steps have.
func (r *Result) Sum() {
	r.Moves, r.Outcomes, r.Faults = 0, map[string]int{}, nil
	counts := map[Fault]*FaultCount{}
	for _, s := range r.Steps {
		for _, m := range s.Made {
			r.Moves++
			r.Outcomes[string(m.Phase)]++
			f := None
			if !m.Again && !m.Beside {
				f = s.Plan.Fault
			}
			if counts[f] == nil {
				counts[f] = &FaultCount{Fault: f}
			}
			counts[f].add(m, s)
		}
	}
	for _, f := range Faults() {
		if c := counts[f]; c != nil {
			if slices.Sort(c.settled); len(c.settled) > 0 {
				c.SettledMedianMS, c.SettledMaxMS = c.settled[len(c.settled)/2], c.settled[len(c.settled)-1]
			}
			r.Faults = append(r.Faults, *c)
		}
	}
}

func (c *FaultCount) add(m Made, s Step) {
	c.Moves++
	if m.Phase == record.Done {
		c.Done++
	} else {
		c.Stayed++
	}
	switch {
	case c.Fault == None:
	case s.Missed:
		c.Missed++
	default:
		c.settled = append(c.settled, s.SettledMS)
	}
}

// Sound reports whether nothing was broken and nothing has grown.
func (r *Result) Sound() bool {
	return len(r.Broken) == 0 && len(r.Grown) == 0 && !slices.ContainsFunc(r.Growth, Figure.Grown)
}

// Duration of the run.
func (r *Result) Duration() time.Duration { return time.Duration(r.DurationMS) * time.Millisecond }

// Replay is the command that plans and does the same again; step 0 stands for all.
func (r *Result) Replay(step int) string {
	s := fmt.Sprintf("drover-lab soak --seed %d --moves %d", r.Seed, r.Planned)
	if step > 0 {
		s += fmt.Sprintf(" --only %d", step)
	}
	return s
}

// Read reads what a run has written.
func Read(path string) (*Result, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Result{}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.Sum()
	return r, nil
}
