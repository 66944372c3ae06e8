package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"drover/internal/fault"
	"drover/internal/finding"
)

// reported is an error that was already shown, inside a result; only its exit
// status is left to be told.
type reported struct{ err error }

func (r reported) Error() string { return r.err.Error() }
func (r reported) Unwrap() error { return r.err }

// found ends a verb whose result has shown findings: what is left to tell is an
// exit status by the worst of them.
type found struct{ worst finding.Severity }

func (f found) Error() string { return "findings, the worst: " + string(f.worst) }

// severityStatus is how a verb ends that has shown findings, nil when the worst
// is no reason to fail.
func severityStatus(worst finding.Severity) error {
	if worst.ExitStatus() == 0 {
		return nil
	}
	return found{worst}
}

// exitStatus is the exit status of the program for what a verb ended with.
func exitStatus(err error) int {
	var f found
	if errors.As(err, &f) {
		return f.worst.ExitStatus()
	}
	return fault.ExitStatus(err)
}

// failure is what `-o json` prints on stdout when a command fails.
type failure struct {
	Error *fault.Problem `json:"error"`
}

// usage makes an error of reading the command line a fault.
func usage(err error, args []string) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	problem := err.Error()
	if len(args) > 0 && args[0] == "" {
		problem += " (the first argument is empty)"
	}
	return fault.New(fault.Usage, "", "problem", problem)
}

// misuse is a usage fault.
func misuse(format string, args ...any) error {
	return fault.New(fault.Usage, "", "problem", fmt.Sprintf(format, args...))
}

// report tells why the command failed, in the form that was asked for.
func (p *program) report(err error) {
	var r reported
	var f found
	if errors.As(err, &r) || errors.As(err, &f) {
		return
	}
	if p.out != table {
		// A result that cannot be written leaves the exit status to speak.
		_ = p.out.write(p.stdout, failure{fault.ToProblem(err)})
		return
	}
	e := fault.From(err)
	p.screen.printError(e)
	if p.local && e.Code == fault.AgentUnreachable {
		p.screen.line("note: without --host the agent of this machine is asked; name the VM's host with --host")
	}
}

// printError shows message, causes, hint and code on lines of their own.
func (s *screen) printError(e *fault.Error) {
	w := s.w
	_, _ = fmt.Fprintf(w, "%s %s\n", s.paint(red, "drover:"), clean(e.Message()))
	printCauses(w, e.Message(), e)
	_, _ = fmt.Fprintf(w, "hint: %s\n", clean(e.Hint()))
	_, _ = fmt.Fprintf(w, "code: %s (see `drover explain %s`)\n", e.Code, e.Code)
}

// printCauses shows what lies beneath err, except where the message above says it already.
func printCauses(w io.Writer, message string, err error) {
	for cause := errors.Unwrap(err); cause != nil; {
		var next *fault.Error
		text := cause.Error()
		if errors.As(cause, &next) {
			text = next.Message()
		}
		if !strings.Contains(message, text) {
			printCause(w, text)
		}
		if next == nil {
			return
		}
		message = text
		cause = errors.Unwrap(next)
	}
}

func printCause(w io.Writer, text string) {
	for l := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		_, _ = fmt.Fprintf(w, "  cause: %s\n", clean(strings.TrimSpace(l)))
	}
}
