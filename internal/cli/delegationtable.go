package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"drover/internal/delegation"
	"drover/internal/finding"
	"drover/internal/spn"
)

// manyPairs is from where on a plan's directions are counted and not listed one by
// one, unless there is something to say about them.
const manyPairs = 30

// printDelegationPlan shows a plan: what is there, what changes, what it costs.
func printDelegationPlan(w io.Writer, p *delegation.Plan) error {
	s := sheet{title: "Plan: delegation in " + p.Domain}
	if p.Rollback != "" {
		s.title = "Plan: go back to " + p.Rollback + " in " + p.Domain
	}
	s.add("controller", "%s (%s), read %s", p.Server, p.Kind, moment(p.Time))
	if p.Rollback == "" {
		s.add("model", "%s, %s", p.Intent.Model, protocolText(p.Intent.Protocol))
		s.add("services", "%s", strings.Join(p.Intent.Services, ", "))
		s.add("hosts", "%s", strings.Join(hostNames(p.Hosts), ", "))
		s.add("directions", "%s", pairCounts(p.Pairs))
	}
	if err := s.print(w); err != nil {
		return err
	}
	if p.Cost.Text != "" && p.Rollback == "" {
		_, _ = fmt.Fprint(w, "\n"+wrapped(p.Cost.Text, "  ", 80))
	}
	for _, part := range []func(io.Writer, *delegation.Plan) error{printPairs, printOther, printChanges, printTwinNote} {
		if err := part(w, p); err != nil {
			return err
		}
	}
	return printFindings(w, p.Findings)
}

// twinMark stands behind a name whose escaped twin comes with it.
const twinMark = "  (*)"

// twinNote says what the mark means.
const twinNote = "(*) and its twin with the blanks escaped, which Samba's controllers look for"

// printTwinNote says what the mark behind a name means, where there was one.
func printTwinNote(w io.Writer, p *delegation.Plan) error {
	marked := func(values []string) bool {
		return slices.ContainsFunc(withTwins(values), func(v string) bool { return strings.HasSuffix(v, twinMark) })
	}
	if !slices.ContainsFunc(p.Hosts, func(h delegation.Host) bool { return marked(h.Other) }) &&
		!slices.ContainsFunc(p.Changes, func(c delegation.Change) bool { return marked(c.Add) || marked(c.Delete) }) {
		return nil
	}
	_, err := fmt.Fprintln(w, "\n"+twinNote)
	return err
}

func protocolText(p delegation.Protocol) string {
	if p == delegation.KerberosOnly {
		return "operators who signed in by Kerberos only"
	}
	return "operators who signed in by any protocol"
}

func hostNames(hosts []delegation.Host) []string {
	var out []string
	for _, h := range hosts {
		out = append(out, h.Name)
	}
	if len(out) > 12 {
		out = append(out[:12:12], fmt.Sprintf("and %d more", len(out)-12))
	}
	return out
}

func pairCounts(pairs []delegation.Pair) string {
	n := map[delegation.PairState]int{}
	for _, p := range pairs {
		n[p.State]++
	}
	var parts []string
	for _, s := range []delegation.PairState{delegation.Complete, delegation.Incomplete, delegation.Absent, delegation.Unwanted} {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func printPairs(w io.Writer, p *delegation.Plan) error {
	var rows [][]string
	for _, pair := range p.Pairs {
		if pair.State == delegation.Complete && len(p.Pairs) > manyPairs && len(pair.Extra) == 0 {
			continue
		}
		rows = append(rows, []string{pair.Source, pair.Destination, string(pair.State),
			fmt.Sprint(len(pair.Present)), fmt.Sprint(len(pair.Missing)), fmt.Sprint(len(pair.Extra))})
	}
	if len(rows) == 0 {
		return nil
	}
	rest := 0
	if len(rows) > 4*manyPairs {
		rest = len(rows) - 4*manyPairs
		rows = rows[:4*manyPairs]
	}
	_, _ = fmt.Fprintln(w)
	if err := grid(w, []string{"SOURCE", "DESTINATION", "STATE", "THERE", "MISSING", "TOO MUCH"}, rows); err != nil {
		return err
	}
	if rest > 0 {
		_, _ = fmt.Fprintf(w, "... and %d more; -o json has them all\n", rest)
	}
	if !p.Intent.Prune && slices.ContainsFunc(p.Pairs, func(pair delegation.Pair) bool { return len(pair.Extra) > 0 }) {
		_, _ = fmt.Fprintln(w, "What is too much stays; --prune removes it.")
	}
	return nil
}

// printOther lists what stands on hosts' lists and belongs to no direction.
func printOther(w io.Writer, p *delegation.Plan) error {
	for _, h := range p.Hosts {
		if len(h.Other) == 0 {
			continue
		}
		fate := "stays; --prune removes it"
		if p.Intent.Prune {
			fate = "is removed"
		}
		if _, err := fmt.Fprintf(w, "\n%s may also delegate to (%s):\n", clean(h.Account), fate); err != nil {
			return err
		}
		for _, v := range withTwins(h.Other) {
			_, _ = fmt.Fprintf(w, "  %s\n", clean(v))
		}
	}
	return nil
}

// manyValues is how many values of one change are listed.
const manyValues = 60

func printChanges(w io.Writer, p *delegation.Plan) error {
	if p.Empty() {
		_, err := fmt.Fprintln(w, "\nNothing to change.")
		return err
	}
	_, _ = fmt.Fprintf(w, "\nChanges to %s:\n", count(changedObjects(p), "object"))
	if g := p.NewGroup; g != nil {
		_, _ = fmt.Fprintf(w, "  %s\n    create the group, with %s\n", clean(g.DN), count(len(g.Members), "member"))
	}
	last := ""
	for _, c := range p.Changes {
		if c.DN != last {
			_, _ = fmt.Fprintf(w, "  %s  (%s)\n", clean(c.Account), clean(c.DN))
			last = c.DN
		}
		c.Add, c.Delete = trusteeNames(p, c.Add), trusteeNames(p, c.Delete)
		printChange(w, c)
	}
	return nil
}

// trusteeNames puts the names of the plan's accounts beside their SIDs.
func trusteeNames(p *delegation.Plan, values []string) []string {
	known := map[string]string{}
	for _, h := range p.Hosts {
		known[h.SID] = h.Account + "  (" + h.SID + ")"
	}
	if p.NewGroup != nil {
		known[delegation.GroupTrustee] = p.NewGroup.Name + "  (the new group)"
	}
	var out []string
	for _, v := range values {
		if name := known[v]; name != "" {
			v = name
		}
		out = append(out, v)
	}
	return out
}

func printChange(w io.Writer, c delegation.Change) {
	attribute := clean(c.Attribute)
	switch {
	case c.Attribute == "":
		_, _ = fmt.Fprintln(w, "    delete the object")
	case c.Remove:
		_, _ = fmt.Fprintf(w, "    %s: remove, it had no value\n", attribute)
	case c.Raw != nil:
		_, _ = fmt.Fprintf(w, "    %s: put the old value back\n", attribute)
	}
	printValues(w, "!", c.Note)
	if len(c.Add)+len(c.Delete) > 0 {
		_, _ = fmt.Fprintf(w, "    %s\n", attribute)
	}
	printValues(w, "+", c.Add)
	printValues(w, "-", c.Delete)
}

// printValues lists values. A twin that comes with its name is not listed by itself.
func printValues(w io.Writer, sign string, values []string) {
	values = withTwins(values)
	for _, v := range values[:min(len(values), manyValues)] {
		_, _ = fmt.Fprintf(w, "      %s %s\n", sign, clean(v))
	}
	if rest := len(values) - manyValues; rest > 0 {
		_, _ = fmt.Fprintf(w, "      %s and %d more; -o json has them all\n", sign, rest)
	}
}

func withTwins(values []string) []string {
	has := map[string]bool{}
	for _, v := range values {
		has[v] = true
	}
	var out []string
	for _, v := range values {
		twin := spn.Twin(v)
		switch {
		case spn.IsTwin(v) && has[spn.Plain(v)]:
		case twin != "" && has[twin]:
			out = append(out, v+twinMark)
		default:
			out = append(out, v)
		}
	}
	return out
}

// manyFindings is how many findings beside a plan are shown.
const manyFindings = 20

// printFindings shows findings with what cures them.
func printFindings(w io.Writer, fs []finding.Finding) error {
	for _, f := range fs[:min(len(fs), manyFindings)] {
		var b strings.Builder
		(&fold{Finding: f}).write(&b)
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	if rest := len(fs) - manyFindings; rest > 0 {
		_, err := fmt.Fprintf(w, "\n... and %s more; -o json has them all\n", count(rest, "finding"))
		return err
	}
	return nil
}

// printApplied tells how each object fared.
func printApplied(w io.Writer, p *delegation.Plan, r *delegation.Result) error {
	n := map[delegation.Outcome]int{}
	var trouble [][]string
	for _, o := range r.Objects {
		n[o.Outcome]++
		if o.Error != nil {
			trouble = append(trouble, []string{o.Account, string(o.Outcome), string(o.Error.Code), o.Error.Detail})
		}
	}
	var parts []string
	for _, o := range []delegation.Outcome{delegation.Applied, delegation.Unchanged, delegation.Failed, delegation.NotTried} {
		if n[o] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[o], o))
		}
	}
	_, _ = fmt.Fprintln(w)
	s := sheet{title: "Delegation in " + p.Domain}
	s.add("objects", "%s", strings.Join(parts, ", "))
	s.add("controller", "%s", r.Server)
	if r.Controllers > 1 {
		s.add("takes effect", "on the other %s after replication", count(r.Controllers-1, "controller"))
	}
	if n[delegation.Applied] > 0 {
		s.add("takes effect", "for a host with the next ticket that it asks for (`drover ticket purge --host HOST`)")
	}
	if r.Baseline != "" && n[delegation.Applied]+n[delegation.Failed] > 0 {
		s.add("go back with", "drover delegation rollback %s", r.Baseline)
	}
	if err := s.print(w); err != nil {
		return err
	}
	if len(trouble) == 0 {
		return nil
	}
	slices.SortFunc(trouble, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	_, _ = fmt.Fprintln(w)
	return grid(w, []string{"ACCOUNT", "OUTCOME", "CODE", "REASON"}, trouble)
}
