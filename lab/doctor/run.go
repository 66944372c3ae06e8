package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"drover/internal/doctor"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/lab"
)

// Outcome is how one case went.
type Outcome struct {
	Case     string       `json:"case"`
	Expected fault.Code   `json:"expected"`
	First    fault.Code   `json:"first"` // the first finding
	Found    []fault.Code `json:"found"` // all causes
	False    []string     `json:"false"` // those that ought not to be there
	Seconds  float64      `json:"seconds"`
	// Fixed says by tool whether what the finding proposes cures it; Person is why nobody
	// but a person can.
	Fixed  map[finding.Tool]bool `json:"fixed,omitempty"`
	Person string                `json:"person,omitempty"`
	// Undone says by tool whether what the finding prints takes the cure back, after which
	// it was made again; NoUndo is why that was not tried.
	Undone map[finding.Tool]bool `json:"undone,omitempty"`
	NoUndo string                `json:"no_undo,omitempty"`
	// Moved says that a guest was moved there and back once all was cured, nil when that
	// was not tried. MoveSeconds is how long both took.
	Moved       *bool    `json:"moved,omitempty"`
	MoveSeconds float64  `json:"move_seconds,omitempty"`
	Notes       []string `json:"notes,omitempty"`
}

// Passed says that the case went as it should.
func (o Outcome) Passed() bool {
	return o.First == o.Expected && len(o.False) == 0 && o.Cured() && worked(o.Undone) && (o.Moved == nil || *o.Moved)
}

// Cured says that every form of the cure worked, and there was one.
func (o Outcome) Cured() bool { return o.Person != "" || len(o.Fixed) > 0 && worked(o.Fixed) }

func worked(by map[finding.Tool]bool) bool {
	for _, ok := range by {
		if !ok {
			return false
		}
	}
	return true
}

func (o *Outcome) note(tool finding.Tool, text string) {
	if text != "" {
		o.Notes = append(o.Notes, fmt.Sprintf("%s: %s", tool, text))
	}
}

// Run breaks, looks, cures, moves and puts right. The error is about the lab.
func (w *World) Run(ctx context.Context, c Case) (o Outcome, err error) {
	o = Outcome{Case: c.Name, Expected: c.Want, Person: c.Person, Found: []fault.Code{}, False: []string{}}
	broken := true
	restore := func(ctx context.Context) error {
		if !broken {
			return nil
		}
		broken = false
		return w.restore(ctx, c)
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, restore(cleanup))
	}()
	if err := c.Break(ctx, w); err != nil {
		return o, fmt.Errorf("break: %w", err)
	}
	r, err := w.examine(ctx, c)
	if err != nil {
		return o, err
	}
	o.judge(c, r)
	switch {
	case c.Person != "": // whoever that is does what restores the lab
		o.NoUndo = "the cure is a person's"
		err = restore(ctx)
	case o.First == c.Want:
		err = w.cureAll(ctx, c, &o, r.Causes)
	default:
		return o, nil
	}
	if err != nil || !o.Cured() || !w.moving {
		return o, err
	}
	start := time.Now()
	note, err := w.move(ctx, c)
	ok := note == ""
	o.Moved, o.MoveSeconds = &ok, time.Since(start).Seconds()
	if !ok {
		o.Notes = append(o.Notes, note)
	}
	return o, err
}

// cureAll tries each form of the cure, takes it back and makes it again. At the end the
// last one stands.
func (w *World) cureAll(ctx context.Context, c Case, o *Outcome, causes []doctor.Cause) error {
	o.Fixed = map[finding.Tool]bool{}
	for i, tool := range tools(causes) {
		if i > 0 && w.quick {
			break
		}
		if i > 0 {
			if err := w.restore(ctx, c); err != nil {
				return err
			}
			if err := c.Break(ctx, w); err != nil {
				return fmt.Errorf("break again: %w", err)
			}
		}
		ok, note, err := w.cure(ctx, c, causes, tool)
		if err != nil {
			return err
		}
		o.Fixed[tool] = ok
		if o.note(tool, note); !ok {
			continue
		}
		if err := w.takeBack(ctx, c, o, causes, tool); err != nil {
			return err
		}
	}
	return nil
}

// takeBack types what the findings print to undo the cure: the same has to be found
// again. Then it makes the cure once more.
func (w *World) takeBack(ctx context.Context, c Case, o *Outcome, causes []doctor.Cause, tool finding.Tool) error {
	undo, why := undoTool(causes, tool)
	if why != "" {
		o.NoUndo = why
		return nil
	}
	if o.Undone == nil {
		o.Undone = map[finding.Tool]bool{}
	}
	for i := range causes {
		cause := causes[len(causes)-1-i]
		if note := w.typeAll(ctx, c, cause.Undo, undo); note != "" {
			o.Undone[undo] = false
			o.note(undo, "undo: "+note)
			return nil
		}
	}
	r, err := w.examine(ctx, c)
	if err != nil {
		return err
	}
	back := len(r.Causes) > 0 && r.Causes[0].Code == causes[0].Code && strings.EqualFold(r.Causes[0].Object, causes[0].Object)
	if _, failed := o.Undone[undo]; !failed || !back {
		o.Undone[undo] = back
	}
	if !back {
		o.note(undo, fmt.Sprintf("after the undo: %v", codesOf(r.Causes)))
	}
	ok, note, err := w.cure(ctx, c, causes, tool)
	if !ok {
		o.Fixed[tool] = false
		o.note(tool, "once more: "+note)
	}
	return err
}

func codesOf(causes []doctor.Cause) []fault.Code {
	out := []fault.Code{}
	for _, c := range causes {
		out = append(out, c.Code)
	}
	return out
}

// undoTool is the form in which every cause can be taken back here: that of the cure,
// or the first that there is. why says that there is none.
func undoTool(causes []doctor.Cause, cured finding.Tool) (tool finding.Tool, why string) {
	why = "none is printed"
	for _, tool := range []finding.Tool{cured, finding.Drover, finding.SambaTool, finding.LDIF, finding.Shell} {
		every := len(causes) > 0
		for _, c := range causes {
			every = every && slices.ContainsFunc(c.Undo, func(f finding.Command) bool { return f.Tool == tool })
		}
		if every {
			return tool, ""
		}
	}
	if slices.ContainsFunc(causes, func(c doctor.Cause) bool { return len(c.Undo) > 0 }) {
		why = "not for every cause in a form that can be run here"
	}
	return "", why
}

func (w *World) restore(ctx context.Context, c Case) error {
	w.stop()
	if err := c.Restore(ctx, w); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// judge holds a report against what was broken.
func (o *Outcome) judge(c Case, r doctor.Report) {
	o.Seconds = r.Seconds
	for i, cause := range r.Causes {
		if i == 0 {
			o.First = cause.Code
		}
		o.Found = append(o.Found, cause.Code)
		right := cause.Code == c.Want && (c.On == "" || about(cause.Finding, c.On)) || slices.Contains(c.With, cause.Code)
		if !right {
			o.False = append(o.False, fmt.Sprintf("%s %s: %s", cause.Severity, cause.Code, cause.Message))
		}
	}
}

// about says that a finding names a host or an object.
func about(f finding.Finding, on string) bool {
	return strings.EqualFold(f.Host, on) || strings.HasPrefix(strings.ToLower(f.Object), strings.ToLower(on)) ||
		strings.EqualFold(f.Source, on) || strings.EqualFold(f.Destination, on)
}

// Examine runs `drover doctor` on a healthy lab, from the workstation as the operator.
func (w *World) Examine(ctx context.Context, hosts ...string) (doctor.Report, error) {
	return w.examine(ctx, Case{Hosts: hosts}.complete())
}

func (w *World) examine(ctx context.Context, c Case) (r doctor.Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if !c.KeepTicket || c.From != lab.MGMT {
		if err := w.signIn(ctx, c.From, c.As); err != nil {
			return r, err
		}
	}
	args := append([]string{lab.AssetsDir + "/bin/drover", "doctor", "-o", "json"}, c.Hosts...)
	cmd := w.Member(c.From).Command(ctx, append(args, c.Args...)...)
	cmd.Env = append(cmd.Env, "KRB5CCNAME="+cache(c.As), "HOME=/root")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	runErr := cmd.Run()
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("drover printed no report: %w: %v: %s%s", err, runErr, out.String(), errs.String())
	}
	return r, nil
}

func cache(user string) string { return "/tmp/krb5cc_" + user }

// signIn gets a user a ticket on a member.
func (w *World) signIn(ctx context.Context, member, user string) error {
	password := lab.UserPassword
	if user == lab.UserAdministrator {
		password = lab.AdministratorPassword
	}
	cmd := w.Member(member).Command(ctx, "kinit", "-c", cache(user), user+"@"+lab.Realm)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kinit %s on %s: %w: %s", user, member, err, out)
	}
	return nil
}

// tools are the forms of cure that can be tried here, in a fixed order. PowerShell
// there is none of.
func tools(causes []doctor.Cause) []finding.Tool {
	var out []finding.Tool
	for _, tool := range []finding.Tool{finding.Drover, finding.SambaTool, finding.LDIF, finding.Shell} {
		every := len(causes) > 0
		for _, c := range causes {
			every = every && slices.ContainsFunc(c.Fix, func(f finding.Command) bool { return f.Tool == tool })
		}
		if every {
			out = append(out, tool)
		}
	}
	return out
}

// cure types what every cause proposes in one form, and looks again.
func (w *World) cure(ctx context.Context, c Case, causes []doctor.Cause, tool finding.Tool) (ok bool, note string, err error) {
	for _, cause := range causes {
		if note := w.typeAll(ctx, c, cause.Fix, tool); note != "" {
			return false, note, nil
		}
	}
	again := c
	again.KeepTicket = c.KeepTicket && c.Want == fault.TicketBeforeChange // it has a new one
	r, err := w.examine(ctx, again)
	if err != nil {
		return false, "", err
	}
	if len(r.Causes) > 0 {
		return false, fmt.Sprintf("still there: %s %s", r.Causes[0].Code, r.Causes[0].Message), nil
	}
	return true, "", nil
}

// typeAll types those commands that are of one tool, and says what went wrong.
func (w *World) typeAll(ctx context.Context, c Case, commands []finding.Command, tool finding.Tool) (note string) {
	for _, f := range commands {
		if f.Tool != tool {
			continue
		}
		if out, err := w.typeIn(ctx, c, f); err != nil {
			return fmt.Sprintf("%s: %v: %s", f.Line, err, out)
		}
	}
	return ""
}

// typeIn types a command as a domain administrator would, with the passwords that it
// asks for.
func (w *World) typeIn(ctx context.Context, c Case, f finding.Command) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	line := strings.ReplaceAll(f.Line, "-U Administrator", "-U '"+administrator+"'")
	member, user, stdin := lab.MGMT, lab.UserAdministrator, ""
	switch f.Tool {
	case finding.Drover:
		if strings.HasPrefix(line, "drover host ") {
			user = lab.UserAdmin
		}
		if strings.HasPrefix(line, "drover host enroll") {
			member = lab.HV03
		}
		if strings.HasPrefix(line, "drover delegation apply") {
			line += " --yes"
		}
	case finding.LDIF:
		line, stdin = "ldapmodify -Q -Y GSSAPI -H ldap://dc1."+lab.Domain, f.Line
	case finding.Shell:
		member = c.FixOn
		if _, host, named := strings.Cut(line, " # on "); named {
			member = host
		}
		stdin = lab.UserPassword + "\n"
		if strings.HasPrefix(line, "adcli ") {
			line = strings.ReplaceAll(f.Line, "-U Administrator", "-U Administrator --stdin-password")
			stdin = lab.AdministratorPassword
		}
		if strings.HasPrefix(line, "kinit ") {
			user = c.As
		}
	}
	if user != c.As {
		if err := w.signIn(ctx, member, user); err != nil {
			return "", err
		}
	}
	cmd := w.Member(member).Command(ctx, "sh", "-c", "cd /tmp && PATH=$PATH:"+lab.AssetsDir+"/bin && "+line)
	cmd.Env = append(cmd.Env, "KRB5CCNAME="+cache(user), "HOME=/root")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	return strings.TrimSpace(string(out)), err
}
