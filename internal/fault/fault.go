// Package fault is Drover's error type and the registry of its codes.
//
// A code is attached once, where the meaning of a failure is known; everywhere
// else errors are wrapped with %w. The registry (registry.go) is the only place
// that knows what a code says to a person: the command line, the API's problem
// details, `drover explain` and docs/errors.md are all made from it.
package fault

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Code names a condition. Codes are lower-kebab-case, stable and never reused.
type Code string

// Error is a failure whose meaning is known.
type Error struct {
	Code Code
	// Host is the host on which the condition was found, "" when it is not
	// bound to a host.
	Host string
	// Args fill the {name} places of the registry's message and hint.
	Args  map[string]string
	cause error
}

// New makes an Error. kv are name, value pairs for the registry's templates.
func New(code Code, host string, kv ...string) *Error { return Wrap(nil, code, host, kv...) }

// Wrap makes an Error with a cause. It panics on an unknown code or an odd
// number of kv, because both are programming errors that a test must show.
func Wrap(cause error, code Code, host string, kv ...string) *Error {
	if _, ok := Lookup(code); !ok {
		panic(fmt.Sprintf("fault: code %q is not in the registry", code))
	}
	if len(kv)%2 != 0 {
		panic(fmt.Sprintf("fault: code %q: odd number of arguments", code))
	}
	args := make(map[string]string, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		args[kv[i]] = kv[i+1]
	}
	return &Error{Code: code, Host: host, Args: args, cause: cause}
}

// Error is the message, followed by the cause.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message() + ": " + e.cause.Error()
	}
	return e.Message()
}

// Unwrap gives the cause, nil if there is none.
func (e *Error) Unwrap() error { return e.cause }

// Message is the registry's message with the arguments filled in.
func (e *Error) Message() string { return e.fill(e.entry().Message) }

// Why is the registry's cause with the arguments filled in.
func (e *Error) Why() string { return e.fill(e.entry().Cause) }

// Hint is the registry's hint, a next step with a command, filled in. Values in a
// command are quoted for its shell: names from the directory hold any character, and
// commands are there to be copied.
func (e *Error) Hint() string {
	parts := strings.Split(e.entry().Hint, "`")
	for i, p := range parts {
		if i%2 == 0 {
			parts[i] = e.fill(p)
		} else {
			parts[i] = e.fillCommand(p)
		}
	}
	return strings.Join(parts, "`")
}

// cmdlet is how a command of PowerShell begins.
var cmdlet = regexp.MustCompile(`^[A-Z][a-z]+-[A-Z]`)

// inQuotes are values between quotes of a POSIX shell, PowerShell (which takes the
// typographic quotes for quotes, too) and cmd.
var (
	inShell      = strings.NewReplacer("'", `'\''`)
	inPowerShell = strings.NewReplacer("'", "''", "\u2018", "\u2018\u2018", "\u2019", "\u2019\u2019", "\u201a", "\u201a\u201a", "\u201b", "\u201b\u201b")
	inCmd        = strings.NewReplacer(`"`, "")
)

// fillCommand is fill for one command.
func (e *Error) fillCommand(tmpl string) string {
	if tmpl == "{command}" { // the whole of it, quoted where it was made
		return e.fill(tmpl)
	}
	escape := inShell
	if cmdlet.MatchString(tmpl) {
		escape = inPowerShell
	}
	var b strings.Builder
	quote := byte(0) // that is open
	for i := 0; i < len(tmpl); i++ {
		c := tmpl[i]
		n := strings.IndexByte(tmpl[i:], '}')
		if c != '{' || n < 0 {
			switch {
			case c == quote:
				quote = 0
			case quote == 0 && (c == '\'' || c == '"'):
				quote = c
			}
			b.WriteByte(c)
			continue
		}
		v := e.fill(tmpl[i : i+n+1])
		i += n
		switch {
		case quote == '"':
			b.WriteString(inCmd.Replace(v))
		case quote != 0:
			b.WriteString(escape.Replace(v))
		case strings.Trim(v, unquoted) == "":
			b.WriteString(v)
		default:
			b.WriteString("'" + escape.Replace(v) + "'")
		}
	}
	return b.String()
}

// unquoted characters mean nothing to a shell; braces are those of a value that is
// not known.
const unquoted = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@{}"

// Entry is the registry's entry for the code. A code that this build does not
// know (it came from a newer agent) gets the entry of "internal".
func (e *Error) entry() Entry {
	if en, ok := Lookup(e.Code); ok {
		return en
	}
	en, _ := Lookup(Internal)
	return en
}

func (e *Error) fill(tmpl string) string {
	if !strings.Contains(tmpl, "{") {
		return tmpl
	}
	pairs := []string{"{host}", orUnknown(e.Host)}
	for k, v := range e.Args {
		pairs = append(pairs, "{"+k+"}", v)
	}
	return strings.NewReplacer(pairs...).Replace(tmpl)
}

func orUnknown(s string) string {
	if s == "" {
		return "(unknown host)"
	}
	return s
}

// From finds the Error in err's chain. A context's end and anything without a
// code become "cancelled", "deadline" and "internal", with err as their cause,
// so that the edge always has a code to print. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Wrap(err, Cancelled, "")
	case errors.Is(err, context.DeadlineExceeded):
		return Wrap(err, Deadline, "")
	}
	return Wrap(err, Internal, "")
}

// Is reports whether err carries code.
func Is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// ExitStatus is the exit status of a program that ends with err; 0 for nil.
func ExitStatus(err error) int {
	if err == nil {
		return 0
	}
	return From(err).entry().Class.ExitStatus()
}

// HTTPStatus is the status of a response that reports err.
func HTTPStatus(err error) int {
	en := From(err).entry()
	if en.HTTP != 0 {
		return en.HTTP
	}
	return en.Class.HTTPStatus()
}
