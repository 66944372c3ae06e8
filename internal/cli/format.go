package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml"
)

// format is the value of -o.
type format string

const (
	table    format = "table"
	jsonForm format = "json"
	yamlForm format = "yaml"
)

// String, Set and Type make a format a flag.
func (f *format) String() string { return string(*f) }

// Set accepts table, json and yaml.
func (f *format) Set(s string) error {
	switch format(s) {
	case table, jsonForm, yamlForm:
		*f = format(s)
		return nil
	}
	return fmt.Errorf("%q is none of table, json, yaml", s)
}

// Type is what help shows for the flag.
func (f *format) Type() string { return "table|json|yaml" }

// write prints v as one JSON or YAML document. Both have the same keys, those
// of the JSON form, because that is what docs/scripting.md promises.
func (f format) write(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	out := b.Bytes()
	if f == yamlForm {
		y, err := yaml.JSONToYAML(out)
		if err != nil {
			return fmt.Errorf("encode the result: %w", err)
		}
		out = y
	}
	_, err := w.Write(out)
	return err
}

// grid prints rows under a header, in columns.
func grid(w io.Writer, header []string, rows [][]string) error {
	tw := tabwriter.NewWriter(cleanWriter{w}, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, strings.Join(header, "\t"))
	for _, r := range rows {
		for i := range r {
			if r[i] = oneCell(r[i]); r[i] == "" {
				r[i] = "-"
			}
		}
		_, _ = fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	return tw.Flush()
}

// oneCell keeps text that came from elsewhere inside its cell.
func oneCell(s string) string { return clean(s) }

// sheet prints a title and name-value lines below it. A name may come several
// times; it is printed once, with its values under each other.
type sheet struct {
	title string
	rows  [][2]string
}

func (s *sheet) add(name, format string, args ...any) {
	s.rows = append(s.rows, [2]string{name, clean(fmt.Sprintf(format, args...))})
}

func (s *sheet) print(w io.Writer) error {
	if s.title != "" {
		if _, err := fmt.Fprintln(w, clean(s.title)); err != nil {
			return err
		}
	}
	width := 0
	for _, r := range s.rows {
		width = max(width, len(r[0]))
	}
	last := ""
	for _, r := range s.rows {
		name := r[0]
		if name == last {
			name = ""
		}
		last = r[0]
		if _, err := fmt.Fprintf(w, "  %-*s  %s\n", width, name, r[1]); err != nil {
			return err
		}
	}
	return nil
}

// size shows bytes in IEC units.
func size(n uint64) string { return humanize.IBytes(n) }

// rate shows bytes per second.
func rate(n uint64) string { return humanize.IBytes(n) + "/s" }

// clock shows a duration as 00:42 or 1:02:03.
func clock(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// milliseconds shows a measured time: 212 ms, 41.2 s, 12m30s.
func milliseconds(ms int64) string {
	switch d := time.Duration(ms) * time.Millisecond; {
	case ms < 1000:
		return fmt.Sprintf("%d ms", ms)
	case ms < 60_000:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// percent of total that is done. What is still to send decides, not what was
// sent: memory that the guest changes again is sent again.
func percent(total, remaining uint64) uint64 {
	if total == 0 {
		return 100
	}
	return (total - min(remaining, total)) * 100 / total
}

// moment shows a time to the second, in the local zone.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// count gives "1 connection" or "4 connections".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
