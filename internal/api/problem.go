package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"drover/internal/fault"
)

// Media type of RFC 9457, and the event by which a stream of events reports
// that it cannot go on.
const (
	problemType  = "application/problem+json"
	eventProblem = "problem"
)

// maxBody is the largest request body, and the most that is read of a refusal.
const maxBody = 1 << 20

// Problem is a fault as the body of an answer. Its status may be more exact
// than the fault's own (413 rather than 422).
type Problem struct {
	fault.Problem
}

func problemOf(err error, host string) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	f := fault.From(err)
	if f.Host == "" {
		named := *f
		named.Host = host
		f = &named
	}
	return &Problem{*fault.ToProblem(f)}
}

// usage is the fault of a request that makes no sense, with an HTTP status of
// its own.
func usage(host string, status int, text string) *Problem {
	p := problemOf(fault.New(fault.Usage, host, "problem", text), host)
	p.Status = status
	return p
}

// Error is the fault's message.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType makes it RFC 9457.
func (p *Problem) ContentType(string) string { return problemType }

// GetHeaders: a 401 says how to sign in (RFC 9110 15.5.2).
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", negotiate)
	}
	return h
}

func writeProblem(w http.ResponseWriter, err error, host string) {
	p := problemOf(err, host)
	for k, v := range p.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // fails when the client has gone
}

// huma makes its own errors (validation, mostly) by these two variables. They
// are set once; nothing else in the program imports huma.
func init() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return humaProblem("", status, msg, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return humaProblem(hostFrom(ctx.Context()), status, msg, errs)
	}
}

func humaProblem(host string, status int, msg string, errs []error) *Problem {
	if status >= http.StatusInternalServerError {
		return problemOf(errors.Join(append([]error{errors.New(msg)}, errs...)...), host)
	}
	var details []string
	for _, err := range errs {
		var d huma.ErrorDetailer
		if !errors.As(err, &d) {
			details = append(details, err.Error())
			continue
		}
		// The value is left out: it may be the whole body.
		details = append(details, strings.TrimPrefix(d.ErrorDetail().Location+": "+d.ErrorDetail().Message, ": "))
	}
	if len(details) > 0 {
		msg = "the request is not valid: " + strings.Join(details, "; ")
	}
	return usage(host, status, msg)
}

type contextKey int

const (
	keyHost contextKey = iota
	keyPeer
	keyCaller
)

func hostFrom(ctx context.Context) string {
	h, _ := ctx.Value(keyHost).(string)
	return h
}

func callerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(keyCaller).(Caller)
	return c
}
