package fault

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is an Error as it travels: RFC 9457 problem details with Drover's
// members. It is the body of every failed API response, the error member of
// `-o json`, and the failure on the wire between agents.
type Problem struct {
	Type   string            `json:"type" doc:"urn:drover:error:CODE"`
	Title  string            `json:"title"`
	Status int               `json:"status" doc:"HTTP status"`
	Detail string            `json:"detail" doc:"message with host and object filled in"`
	Code   Code              `json:"code"`
	Host   string            `json:"host,omitempty"`
	Hint   string            `json:"hint,omitempty" doc:"next step, with a command"`
	Args   map[string]string `json:"args,omitempty"`
	Cause  string            `json:"cause,omitempty" doc:"what lies beneath, as text"`
}

// ToProblem makes the travelling form of err; nil for nil.
func ToProblem(err error) *Problem {
	e := From(err)
	if e == nil {
		return nil
	}
	p := &Problem{
		Type: "urn:drover:error:" + string(e.Code), Title: e.entry().Title, Status: HTTPStatus(e),
		Detail: e.Message(), Code: e.Code, Host: e.Host, Hint: e.Hint(), Args: e.Args,
	}
	if e.cause != nil {
		p.Cause = e.cause.Error()
	}
	return p
}

// What a Problem of another host may hold, in bytes and in arguments.
const (
	maxForeign     = 2 << 10
	maxForeignArgs = 32
)

// Tame makes what another host said fit to be kept and shown: each text is one line
// that prints, and short. It changes p, and gives it.
func (p *Problem) Tame() *Problem {
	for _, s := range []*string{&p.Type, &p.Title, &p.Detail, (*string)(&p.Code), &p.Host, &p.Hint, &p.Cause} {
		*s = Tame(*s, maxForeign)
	}
	args := make(map[string]string, min(len(p.Args), maxForeignArgs))
	for _, k := range slices.Sorted(maps.Keys(p.Args)) {
		if len(args) == maxForeignArgs {
			break
		}
		args[Tame(k, 64)] = Tame(p.Args[k], maxForeign)
	}
	p.Args = args
	return p
}

// Tame makes one line of at most so many bytes of words that are somebody else's. What
// does not print is a space, and what is cut off leaves "...".
func Tame(s string, most int) string {
	const more = "..."
	cut := len(s) > most
	if cut {
		s = s[:most-len(more)]
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	if cut {
		s = strings.TrimRight(s, " ") + more
	}
	return s
}

// remote is a cause that only survived as text.
type remote string

func (r remote) Error() string { return string(r) }

// Err turns a Problem that arrived back into an Error. A code of a newer peer,
// which this build cannot explain, becomes "internal" with its text as the cause.
func (p *Problem) Err() *Error {
	if p == nil {
		return nil
	}
	e := &Error{Code: p.Code, Host: p.Host, Args: p.Args}
	if p.Cause != "" {
		e.cause = remote(p.Cause)
	}
	if _, ok := Lookup(p.Code); !ok {
		return &Error{Code: Internal, Host: p.Host, cause: remote(string(p.Code) + ": " + p.Detail)}
	}
	return e
}

// MarshalJSON gives the Problem form.
func (e *Error) MarshalJSON() ([]byte, error) { return json.Marshal(ToProblem(e)) }

// UnmarshalJSON reads the Problem form.
func (e *Error) UnmarshalJSON(b []byte) error {
	var p Problem
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	*e = *p.Err()
	return nil
}
