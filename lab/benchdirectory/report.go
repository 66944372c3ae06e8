package benchdirectory

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"drover/internal/version"
	"drover/lab"
)

// report is bench-directory.json.
type report struct {
	Environment Environment `json:"environment"`
	Figures     []Figure    `json:"figures"`
	Pass        bool        `json:"pass"` // every target was met
}

// Environment is what the figures depend on.
type Environment struct {
	Time       time.Time `json:"time"`
	CPU        string    `json:"cpu"`
	Cores      int       `json:"cores"`
	Kernel     string    `json:"kernel"`
	LoadBefore string    `json:"load_before"` // as in /proc/loadavg
	LoadAfter  string    `json:"load_after"`
	Drover     string    `json:"drover"`
	Samba      string    `json:"samba"`
	Hosts      int       `json:"hosts"`
	Users      int       `json:"users"`
	Rounds     int       `json:"rounds"`
}

// Figure is what one case took, in milliseconds: from the start of the program to its
// end, sign-in included; for the watcher, one look.
type Figure struct {
	Name        string    `json:"name"`
	Command     string    `json:"command"`
	Note        string    `json:"note"`
	RunsMS      []float64 `json:"runs_ms"`
	MedianMS    float64   `json:"median_ms"`
	MinMS       float64   `json:"min_ms"`
	MaxMS       float64   `json:"max_ms"`
	TargetMS    float64   `json:"target_ms,omitempty"` // for the slowest run
	Pass        bool      `json:"pass"`
	OutputBytes int       `json:"output_bytes,omitempty"`
}

func newFigure(c measured) Figure {
	command := "drover " + strings.Join(c.args, " ")
	switch {
	case c.looks > 0:
		command = "drover delegation watch"
	case c.tool != nil:
		command = strings.Join(c.tool, " ")
	}
	const longest = 120
	if len(command) > longest {
		command = command[:longest] + "..."
	}
	return Figure{Name: c.name, Command: command, Note: c.note, TargetMS: milliseconds(c.target)}
}

// finish works medians out and holds the slowest runs against the targets.
func (r *report) finish() {
	r.Pass = true
	for i := range r.Figures {
		f := &r.Figures[i]
		sorted := slices.Sorted(slices.Values(f.RunsMS))
		f.MedianMS, f.MinMS, f.MaxMS = median(sorted), sorted[0], sorted[len(sorted)-1]
		f.Pass = f.TargetMS == 0 || f.MaxMS < f.TargetMS
		r.Pass = r.Pass && f.Pass
	}
}

// median of sorted figures.
func median(sorted []float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// milliseconds, to a hundredth of one.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*100) / 100
}

func (b *bench) environment(ctx context.Context) (Environment, error) {
	samba, err := b.lab.Member(lab.DC1).Run(ctx, "/usr/sbin/samba", "--version")
	if err != nil {
		return Environment{}, err
	}
	return Environment{Time: time.Now().UTC().Truncate(time.Second), CPU: cpu(), Cores: runtime.NumCPU(),
		Kernel: firstLine("/proc/sys/kernel/osrelease"), LoadBefore: load(), Drover: version.String(),
		Samba: strings.TrimPrefix(strings.TrimSpace(samba), "Version "), Hosts: b.Hosts, Users: b.Users, Rounds: b.Rounds}, nil
}

func load() string { return firstLine("/proc/loadavg") }

func firstLine(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	return line
}

func cpu() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func (r *report) write(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}

func (r *report) print(w io.Writer) error {
	e := r.Environment
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, err := fmt.Fprintf(w, "%d hosts and %d users, Samba %s, %d cores of %s, %d runs each\n\n", e.Hosts, e.Users, e.Samba, e.Cores, e.CPU, e.Rounds)
	_, _ = fmt.Fprintln(t, "WHAT\tMEDIAN\tMIN\tMAX\tTARGET\tRESULT\tOF") // Flush tells of errors
	for _, f := range r.Figures {
		target, result := "-", "-"
		if f.TargetMS > 0 {
			target, result = "< "+duration(f.TargetMS), map[bool]string{true: "met", false: "MISSED"}[f.Pass]
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, duration(f.MedianMS), duration(f.MinMS), duration(f.MaxMS), target, result, f.Note)
	}
	return cmp.Or(err, t.Flush())
}

func duration(ms float64) string {
	if ms < 1000 {
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.2f s", ms/1000)
}
