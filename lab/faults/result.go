package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"drover/internal/record"
)

// End is how a side's journal has a move in the end.
type End struct {
	Phase record.Phase `json:"phase,omitempty"` // "" where it never heard of the move
	Code  string       `json:"code,omitempty"`  // of its error
	Gone  bool         `json:"gone,omitempty"`  // the machine is gone with its journal
}

// Result is what came of a case.
type Result struct {
	Case
	Began string `json:"began"`
	// Effect is what the fault itself has told.
	Effect []string `json:"effect,omitempty"`
	// Copies is the largest number of copies that ran at one instant.
	Copies   int    `json:"copies"`
	Evidence string `json:"evidence,omitempty"`
	// Lives is where the VM lives in the end, Expected where it may.
	Lives    Place   `json:"lives"`
	Expected []Place `json:"expected"`
	// Verified: the guest has checked all of its memory and disk afterwards.
	Verified bool      `json:"verified"`
	Left     Leftovers `json:"left"`
	// Source and Destination are the two journals.
	Source      End `json:"source"`
	Destination End `json:"destination"`
	// Settled is how many seconds after the repair both journals had their end and
	// nothing was left; Took is the whole case.
	Settled float64 `json:"settled_seconds"`
	Took    float64 `json:"took_seconds"`
	// Person is the command with which a person ended it, "" when nobody had to.
	Person string `json:"person,omitempty"`
	// Broken lists the promises that were not kept.
	Broken []string `json:"broken,omitempty"`
	// Problem says why the case proves nothing: the lab failed, or the move never came
	// to the point.
	Problem string `json:"problem,omitempty"`
}

func (r Result) good() bool { return r.Problem == "" && len(r.Broken) == 0 }

// Report is build/faults.json.
type Report struct {
	Versions map[string]string `json:"versions"`
	Began    string            `json:"began"`
	Results  []Result          `json:"results"`
}

// put replaces the result of the same case, or adds it.
func (r *Report) put(result Result) {
	i := slices.IndexFunc(r.Results, func(other Result) bool { return other.Case == result.Case })
	if i >= 0 {
		r.Results[i] = result
		return
	}
	r.Results = append(r.Results, result)
}

func (r *Report) find(c Case) (Result, bool) {
	i := slices.IndexFunc(r.Results, func(other Result) bool { return other.Case == c })
	if i < 0 {
		return Result{}, false
	}
	return r.Results[i], true
}

// missing are those cases that have no good result yet.
func (r *Report) missing(cases []Case) []Case {
	var open []Case
	for _, c := range cases {
		if known, found := r.find(c); !found || !known.good() {
			open = append(open, c)
		}
	}
	return open
}

// broken counts the results of some cases that are not good.
func (r *Report) broken(cases []Case) (n int) {
	for _, c := range cases {
		if known, found := r.find(c); found && !known.good() {
			n++
		}
	}
	return n
}

// Read reads a report; there being none is an error only where it is needed.
func Read(path string, needed bool) (*Report, error) {
	r := &Report{Versions: map[string]string{}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !needed {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("report %s: %w", path, err)
	}
	if r.Versions == nil {
		r.Versions = map[string]string{}
	}
	return r, nil
}

// write replaces the report's file in one step.
func (r *Report) write(path string) error {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
