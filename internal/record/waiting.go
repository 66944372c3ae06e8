package record

import (
	"net/netip"
	"time"

	"drover/internal/fault"
)

// Waiting is what a queued move waits for.
type Waiting struct {
	Position int       `json:"position" doc:"1: next"`
	Of       int       `json:"of" doc:"moves that wait on this host"`
	Host     string    `json:"host" doc:"the host whose limit is reached"`
	For      string    `json:"for" doc:"in words, e.g. a place among the 2 live migrations of HV02"`
	Since    time.Time `json:"since"`
}

// Passed is a migration network that was not used, and why.
type Passed struct {
	Subnet netip.Prefix `json:"subnet"`
	Reason string       `json:"reason"`
}

// Incompatibility is one reason why a VM cannot move as asked.
type Incompatibility struct {
	Code    fault.Code `json:"code"`
	Host    string     `json:"host" doc:"who found it"`
	Message string     `json:"message"`
	Object  string     `json:"object" doc:"what of the VM or the host, e.g. interface virbr0, disk sda"`
	// Option is what added to the same command cures it; "" if no option does.
	Option string       `json:"option,omitempty" doc:"option of drover move that cures it, e.g. --map-network virbr0=br-lan"`
	Error  *fault.Error `json:"error,omitempty"`
}

// Comparison is the answer of Compare-VM. No incompatibilities: the VM can move.
type Comparison struct {
	VM                string            `json:"vm"`
	Source            string            `json:"source"`
	Destination       string            `json:"destination"`
	Plan              *Plan             `json:"plan,omitempty" doc:"when there are no incompatibilities"`
	Incompatibilities []Incompatibility `json:"incompatibilities"`
}

// Prediction is what a move is expected to take, before it starts. Times in
// milliseconds, rates in bytes per second.
type Prediction struct {
	TotalMS    Range   `json:"total_ms"`
	BlackoutMS Range   `json:"blackout_ms"`
	Converges  bool    `json:"converges" doc:"false: the guest dirties memory faster than it can be sent"`
	Reason     string  `json:"reason" doc:"in one sentence"`
	DirtyRate  uint64  `json:"dirty_rate_bytes_per_second"`
	LinkRate   uint64  `json:"link_rate_bytes_per_second"`
	Ratio      float64 `json:"compression_ratio"`
	// Factor corrected the prediction by what was learned of this VM.
	Factor float64 `json:"learned_factor,omitempty"`
}

// Range is from the best to the worst that is expected.
type Range struct {
	Low  int64 `json:"low"`
	High int64 `json:"high"`
}

// Score compares a prediction with what happened.
type Score struct {
	PredictedTotalMS int64   `json:"predicted_total_ms" doc:"middle of the range"`
	Ratio            float64 `json:"ratio" doc:"actual by predicted total time"`
	Within           bool    `json:"within" doc:"whether total time was in the range"`
}

// OnTimeout is what happens to a move that has not come to an end in its time.
type OnTimeout string

// Abort ends the move, the VM runs on at the source; Pause stops the guest
// until the transfer is over.
const (
	TimeoutAbort OnTimeout = "abort"
	TimeoutPause OnTimeout = "pause"
)
