package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"drover/internal/doctor"
	"drover/internal/fault"
)

// ProbeRequest asks an agent to try whether it may act for an operator.
type ProbeRequest struct {
	DestinationServices []string `json:"destination_services" minItems:"1" maxItems:"64" doc:"service names, such as cifs/HV02"`
	Operator            string   `json:"operator,omitempty" maxLength:"512" doc:"principal; default the caller. For anybody else it takes the role administrator"`
	Method              string   `json:"method" enum:"ticket,protocol-transition" doc:"ticket: with the ticket by which the caller signed in; protocol-transition: with one that the host asks for in the operator's name (S4U2Self)"`
}

// maxServiceName bounds a service name of a ProbeRequest.
const maxServiceName = 512

// Resolve checks what the schema cannot say of the members of a list.
func (r *ProbeRequest) Resolve(huma.Context) []error {
	for _, s := range r.DestinationServices {
		if s == "" || len(s) > maxServiceName {
			return []error{&huma.ErrorDetail{Location: "body.destination_services", Message: "a service name is empty or too long"}}
		}
	}
	return nil
}

// ProbeResult is how the attempts went. The tickets themselves never leave the
// agent.
type ProbeResult struct {
	Attempts []doctor.Attempt `json:"attempts" doc:"in the order of the services"`
}

type probeInput struct{ Body ProbeRequest }

// probe is the operation. The role for oneself has been checked.
func (s *Server) probe(ctx context.Context, c Caller, in *probeInput) (*body[ProbeResult], error) {
	if in.Body.Operator == "" {
		in.Body.Operator = c.Principal
	}
	switch {
	case in.Body.Operator == "":
		return nil, fault.New(fault.LocalUserUnmapped, s.o.Host, "user", c.LocalUser)
	case in.Body.Operator == c.Principal:
	case in.Body.Method == doctor.ByTicket:
		return nil, fault.New(fault.Usage, s.o.Host, "problem", "by ticket only the caller's own delegation can be tried")
	default:
		if err := s.allow(c, Administrator); err != nil {
			return nil, err
		}
	}
	attempts, err := s.o.Backend.ProbeDelegation(ctx, c, in.Body)
	if attempts == nil {
		attempts = []doctor.Attempt{}
	}
	return out(ProbeResult{attempts}, err)
}

// NetworkProbe asks an agent to try its way to another host. Which addresses are tried
// the other host decides, whom the agent asks in the caller's name.
type NetworkProbe struct {
	Destination string `json:"destination" minLength:"1" maxLength:"255" pattern:"^[A-Za-z0-9._-]+$" doc:"name of the host, such as HV02"`
}

// NetworkProbeResult is how the ways looked.
type NetworkProbeResult struct {
	Passages []doctor.Passage `json:"passages" doc:"one for each address of the networks that a move would choose, the first to be chosen first"`
}

type lookInput struct{ Body NetworkProbe }

// ProbeNetwork asks the agent to try its way to another host.
func (c *Client) ProbeNetwork(ctx context.Context, destination string) ([]doctor.Passage, error) {
	r, err := call[NetworkProbeResult](ctx, c, c.signed, http.MethodPost, "/v1/network/probe", NetworkProbe{Destination: destination})
	return r.Passages, err
}

// ProbeDelegation asks the agent to try delegation.
func (c *Client) ProbeDelegation(ctx context.Context, r ProbeRequest) (ProbeResult, error) {
	return call[ProbeResult](ctx, c, c.signed, http.MethodPost, "/v1/delegation/probe", r)
}
