package guest

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Port is the UDP port of the heartbeat.
const Port = 7700

// The heartbeat is one JSON object per datagram in each direction, so that a
// person can ask with `echo '{"v":1,"op":"ping"}' | nc -u ADDRESS 7700`. A guest
// answers a request to its own address or to a broadcast address with one
// Status, whatever the operation. A datagram that is not a request gets no
// answer. Numbers are unsigned 64 bit integers unless said otherwise.
const (
	protocolVersion = 1
	// maxMessage bounds a datagram. A status has some 600 bytes, and only that
	// of a guest in which everything is wrong does not fit one Ethernet frame.
	maxMessage = 2048
	maxName    = 32
	maxError   = 120
	maxDisks   = 4
)

// Op is what a request asks for.
type Op string

// The operations.
const (
	// OpPing asks for the status alone.
	OpPing Op = "ping"
	// OpReset sets the largest gaps back to zero first.
	OpReset Op = "reset"
	// OpVerify starts a full pass over memory and disks; when it has ended,
	// Status.VerifyDone is the request's Token. A repeated token starts nothing.
	OpVerify Op = "verify-now"
)

// Request is what an observer sends.
type Request struct {
	Version int `json:"v"`
	Op      Op  `json:"op"`
	// Observer tells the requests of one observer from those of another,
	// because their clocks differ.
	Observer uint64 `json:"observer,omitempty"`
	// Seq and SentNs (the observer's clock, any epoch) come back in the status.
	Seq    uint64 `json:"seq,omitempty"`
	SentNs int64  `json:"sent_ns,omitempty"`
	// Token names a verify-now.
	Token uint64 `json:"token,omitempty"`
}

// Status is the guest's answer.
type Status struct {
	Version int `json:"v"`
	// Name is drover.name. Nonce is chosen at random in each boot, so a new one
	// means that the machine was restarted.
	Name  string `json:"name"`
	Nonce uint64 `json:"nonce"`
	// UptimeNs is monotonic time since the guest's start.
	UptimeNs int64 `json:"uptime_ns"`
	// Serial numbers the answers of this boot. The same number in two different
	// answers means that two copies of the machine run.
	Serial uint64 `json:"serial"`
	// Seq and SentNs are the request's.
	Seq    uint64 `json:"seq"`
	SentNs int64  `json:"sent_ns"`
	// Ready is set once memory has been filled.
	Ready  bool         `json:"ready"`
	Memory MemoryStatus `json:"memory"`
	Disks  []DiskStatus `json:"disks,omitempty"`
	Clock  ClockStatus  `json:"clock"`
	// RequestGapNs is the largest gap between the send times of this
	// observer's consecutive requests, as they arrived, since the last reset.
	RequestGapNs int64 `json:"request_gap_ns"`
	// VerifyDone is the token of the last verify-now that has ended.
	VerifyDone uint64 `json:"verify_done,omitempty"`
}

// MemoryStatus counts pages. Verified counts checks, so it grows without end;
// Passes counts full rounds.
type MemoryStatus struct {
	Pages    uint64 `json:"pages"`
	Zero     uint64 `json:"zero"`
	Filled   uint64 `json:"filled"`
	Verified uint64 `json:"verified"`
	Passes   uint64 `json:"passes"`
	// Rewritten counts rewrites; GenerationSum is the sum of all pages'
	// generations and never falls while one copy of the machine lives.
	Rewritten     uint64 `json:"rewritten"`
	GenerationSum uint64 `json:"generation_sum"`
	Errors        uint64 `json:"errors"`
	FirstError    string `json:"first_error,omitempty"`
}

// DiskStatus counts records of one disk. Flushed is the last sequence whose
// flush the disk has confirmed.
type DiskStatus struct {
	Name       string `json:"name"`
	Size       int64  `json:"size"`
	Written    uint64 `json:"written"`
	Flushed    uint64 `json:"flushed"`
	Verified   uint64 `json:"verified"`
	Errors     uint64 `json:"errors"`
	FirstError string `json:"first_error,omitempty"`
}

// ClockStatus is what the guest's watch on its own clocks saw: the largest
// gaps since the last reset between two of its wake-ups.
type ClockStatus struct {
	MonotonicGapNs int64  `json:"monotonic_gap_ns"`
	RealtimeGapNs  int64  `json:"realtime_gap_ns"`
	Ticks          uint64 `json:"ticks"`
}

// Errors is the number of wrong pages and records seen.
func (s Status) Errors() uint64 {
	n := s.Memory.Errors
	for _, d := range s.Disks {
		n += d.Errors
	}
	return n
}

// FirstError describes the first wrong page or record, "" if there was none.
func (s Status) FirstError() string {
	if s.Memory.FirstError != "" {
		return s.Memory.FirstError
	}
	for _, d := range s.Disks {
		if d.FirstError != "" {
			return d.Name + ": " + d.FirstError
		}
	}
	return ""
}

// Encode is the request's datagram.
func (r Request) Encode() ([]byte, error) {
	r.Version = protocolVersion
	return encode(r)
}

// Encode is the status's datagram. It fails when names or error texts are
// longer than the guest ever makes them.
func (s Status) Encode() ([]byte, error) {
	s.Version = protocolVersion
	return encode(s)
}

func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err == nil && len(b) > maxMessage {
		err = fmt.Errorf("%d bytes are more than a datagram of %d", len(b), maxMessage)
	}
	if err != nil {
		return nil, fmt.Errorf("encode heartbeat: %w", err)
	}
	return b, nil
}

// DecodeRequest reads a datagram that should be a request.
func DecodeRequest(b []byte) (Request, error) {
	var r Request
	if err := decode(b, &r); err != nil {
		return Request{}, err
	}
	switch r.Op {
	case OpPing, OpReset, OpVerify:
	default:
		return Request{}, fmt.Errorf("heartbeat: unknown operation %q", clip(string(r.Op)))
	}
	return r, checkVersion(r.Version)
}

// DecodeStatus reads a datagram that should be a status. Fields that a newer
// guest added are ignored.
func DecodeStatus(b []byte) (Status, error) {
	var s Status
	if err := decode(b, &s); err != nil {
		return Status{}, err
	}
	if err := checkVersion(s.Version); err != nil {
		return Status{}, err
	}
	if len(s.Name) == 0 || len(s.Name) > maxName || len(s.Disks) > maxDisks {
		return Status{}, fmt.Errorf("heartbeat: name of %d bytes, %d disks", len(s.Name), len(s.Disks))
	}
	return s, nil
}

func decode(b []byte, v any) error {
	if len(b) > maxMessage {
		return fmt.Errorf("heartbeat: datagram of %d bytes", len(b))
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	return nil
}

func checkVersion(v int) error {
	if v != protocolVersion {
		return fmt.Errorf("heartbeat: version %d, want %d", v, protocolVersion)
	}
	return nil
}

// clip bounds an error text, so that a status always fits a datagram.
func clip(s string) string {
	if len(s) <= maxError {
		return s
	}
	s = s[:maxError-3]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "..."
}
