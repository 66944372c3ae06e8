package fault

import "encoding/json"

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
