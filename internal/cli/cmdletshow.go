package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"drover/internal/cmdlet"
	"drover/internal/fault"
)

// fromHosts shows what get makes of each host that the call names. A host that
// fails hides no other one.
func (p *program) fromHosts(ctx context.Context, call *cmdlet.Call, d *dressing, get func(a agent, computer string) ([]cmdlet.Object, error)) error {
	hosts := d.hosts(call)
	var objects []cmdlet.Object
	var failed []error
	for _, host := range hosts {
		err := p.with(ctx, d.at(host), func(a agent) error {
			computer, err := nameOf(ctx, a)
			if err != nil {
				return err
			}
			found, err := get(a, computer)
			objects = append(objects, found...)
			return err
		})
		if err == nil {
			continue
		}
		if len(hosts) == 1 {
			return err
		}
		if p.out != table {
			objects = append(objects, cmdlet.Object{{Name: "ComputerName", Value: host}, {Name: "Error", Value: fault.ToProblem(err)}})
		}
		failed = append(failed, err)
		if stopsAt(call, err) {
			break
		}
	}
	if err := p.show(call, objects, call.Cmdlet.Properties); err != nil || len(failed) == 0 {
		return err
	}
	if p.out == table {
		for _, err := range failed {
			p.report(err)
		}
	}
	return reported{failed[0]}
}

// nameOf is what a host calls itself.
func nameOf(ctx context.Context, a agent) (string, error) {
	h, err := a.Host(ctx)
	return h.Host, err
}

// show prints objects in the form that was asked for.
func (p *program) show(call *cmdlet.Call, objects []cmdlet.Object, properties []string) error {
	s := call.Shape
	from, to := s.Cut(len(objects))
	objects = objects[from:to]
	names, err := s.Choose(properties)
	if err != nil {
		return misuseOf(call.Cmdlet, err)
	}
	asList := s.Form == cmdlet.AsList || s.Form == "" && (len(names) > 4 && s.Picks != nil || s.Picks == nil && call.Cmdlet.Shown == nil)
	if !asList && p.out == table && s.Picks == nil && call.Cmdlet.Shown != nil {
		names = call.Cmdlet.Shown
	}
	switch {
	case s.Expand != "":
		return p.showValues(objects, s.Expand)
	case p.out != table:
		out := []cmdlet.Object{}
		for _, o := range objects {
			if o.Get("Error") == nil {
				o = o.Only(names)
			}
			out = append(out, o)
		}
		return p.out.write(p.stdout, out)
	case asList:
		return printObjects(p.stdout, objects, names)
	}
	return printColumns(p.stdout, objects, names)
}

func (p *program) showValues(objects []cmdlet.Object, name string) error {
	values := []any{}
	var errs []error
	for _, o := range objects {
		v := o.Get(name)
		list, many := v.([]string)
		if !many {
			list = []string{shownValue(v)}
		}
		if p.out != table {
			values = append(values, v)
			continue
		}
		for _, l := range list {
			_, err := fmt.Fprintln(p.stdout, clean(l))
			errs = append(errs, err)
		}
	}
	if p.out != table {
		return p.out.write(p.stdout, values)
	}
	return errors.Join(errs...)
}

// printObjects is PowerShell's list form.
func printObjects(w io.Writer, objects []cmdlet.Object, names []string) error {
	width := 0
	for _, n := range names {
		width = max(width, len(n))
	}
	var b strings.Builder
	for i, o := range objects {
		if i > 0 {
			b.WriteString("\n")
		}
		for _, n := range names {
			b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s : %s", width, n, clean(shownValue(o.Get(n)))), " ") + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printColumns is PowerShell's table form.
func printColumns(w io.Writer, objects []cmdlet.Object, names []string) error {
	if len(objects) == 0 || len(names) == 0 {
		return nil
	}
	rows := [][]string{names, make([]string, len(names))}
	for i, n := range names {
		rows[1][i] = strings.Repeat("-", len(n))
	}
	for _, o := range objects {
		var row []string
		for _, n := range names {
			row = append(row, clean(shownValue(o.Get(n))))
		}
		rows = append(rows, row)
	}
	widths := make([]int, len(names))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		var line strings.Builder
		for i, cell := range r {
			fmt.Fprintf(&line, "%-*s ", widths[i], cell)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shownValue is a property's value as PowerShell prints it.
func shownValue(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		return map[bool]string{true: "True", false: "False"}[v]
	case time.Time:
		return moment(v)
	case []string:
		return "{" + strings.Join(slices.Clone(v), ", ") + "}"
	}
	return fmt.Sprint(v)
}
