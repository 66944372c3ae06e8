package doctor

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"drover/internal/fault"
	"drover/lab"
)

// common are the twenty faults that people have most often, those of a kind together: so
// that two whose distance is 7 or 11 are never of the same kind, and do not change the
// same thing.
var common = []string{
	"service names: all of the migration service missing",
	"service names: short missing",
	"service names: twice, on a user's account",
	"delegation: list missing",
	"delegation: one destination missing",
	"delegation: storage missing",
	"delegation: only short names",
	"delegation: to a host that is gone",
	"delegation: Kerberos only",
	"delegation: to any service",
	"account: disabled",
	"clock: controller three minutes behind",
	"operator: sensitive",
	"operator: in no role group",
	"names: an address that nobody has",
	"names: hosts file overrides",
	"names: an old address besides",
	"network: 6601 filtered",
	"settings: incoming disabled",
	"settings: authentication differs",
}

// distances say which of common are broken together: each with four others.
var distances = []int{7, 11}

// couplePrefix tells them from single faults.
const couplePrefix = "both: "

// Couple is how it went when two things were broken at once.
type Couple struct {
	Case     string       `json:"case"`
	Expected []fault.Code `json:"expected"`
	Found    []fault.Code `json:"found"`  // all causes, in the order in which they are told
	Missed   []fault.Code `json:"missed"` // those that are no cause there
	False    []string     `json:"false"`
	Seconds  float64      `json:"seconds"`
	Notes    []string     `json:"notes,omitempty"`
}

// Passed says that both causes were found, and nothing besides.
func (c Couple) Passed() bool { return len(c.Missed)+len(c.False)+len(c.Notes) == 0 }

// String is one line for whoever watches.
func (c Couple) String() string {
	state := "ok  "
	if !c.Passed() {
		state = "FAIL"
	}
	s := fmt.Sprintf("%s %-90s %4.1f s %v", state, c.Case, c.Seconds, c.Found)
	for _, m := range c.Missed {
		s += "\n       missed: " + string(m)
	}
	for _, f := range c.False {
		s += "\n       false: " + f
	}
	for _, n := range c.Notes {
		s += "\n       " + n
	}
	return s
}

// couples are the cases that are broken together.
func couples() (out [][2]Case) {
	by := map[string]Case{}
	for _, c := range Cases() {
		by[c.Name] = c
	}
	for _, d := range distances {
		for i, name := range common {
			out = append(out, [2]Case{by[name], by[common[(i+d)%len(common)]]})
		}
	}
	return out
}

// together is one case of two: asked as the one of them asks that does not ask as usual.
func together(a, b Case) Case {
	c := Case{Name: couplePrefix + a.Name + " + " + b.Name, From: a.From, As: a.As, KeepTicket: a.KeepTicket || b.KeepTicket, Args: slices.Concat(a.Args, b.Args),
		With: slices.Concat(a.With, b.With), Break: all(a.Break, b.Break)}
	if c.From == lab.MGMT {
		c.From = b.From
	}
	if c.As == lab.UserOperator {
		c.As = b.As
	}
	return c.complete()
}

func (w *World) runCouples(ctx context.Context, m *Matrix, wanted *regexp.Regexp, out string, say func(string, ...any)) (failed int, err error) {
	for _, pair := range couples() {
		c := together(pair[0], pair[1])
		if !wanted.MatchString(c.Name) {
			continue
		}
		got, err := w.runCouple(ctx, c, pair)
		if err != nil {
			got.Notes = append(got.Notes, err.Error())
		}
		m.Couples = append(m.Couples, got)
		if !got.Passed() {
			failed++
		}
		say("%s", got)
		if e := m.write(out); e != nil {
			return failed, e
		}
		if ctx.Err() != nil {
			return failed, context.Cause(ctx)
		}
	}
	return failed, nil
}

// runCouple breaks both, looks, and puts both right.
func (w *World) runCouple(ctx context.Context, c Case, pair [2]Case) (got Couple, err error) {
	got = Couple{Case: c.Name, Expected: []fault.Code{pair[0].Want, pair[1].Want}, Found: []fault.Code{}, Missed: []fault.Code{}, False: []string{}}
	if err := w.signIn(ctx, c.From, c.As); err != nil {
		return got, err
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, w.restore(cleanup, pair[0]), w.restore(cleanup, pair[1])) // a name that is there twice goes before the hosts are put back
	}()
	if err := c.Break(ctx, w); err != nil {
		return got, fmt.Errorf("break: %w", err)
	}
	r, err := w.examine(ctx, c)
	if err != nil {
		return got, err
	}
	got.Seconds = r.Seconds
	seen := [2]bool{}
	for _, cause := range r.Causes {
		got.Found = append(got.Found, cause.Code)
		mine := slices.Contains(c.With, cause.Code)
		for i, p := range pair {
			if cause.Code == p.Want && (p.On == "" || about(cause.Finding, p.On)) {
				seen[i], mine = true, true
			}
		}
		if !mine {
			got.False = append(got.False, strings.TrimSpace(fmt.Sprintf("%s %s: %s", cause.Severity, cause.Code, cause.Message)))
		}
	}
	for i, p := range pair {
		if !seen[i] {
			got.Missed = append(got.Missed, p.Want)
		}
	}
	return got, nil
}
