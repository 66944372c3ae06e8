package api

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"drover/internal/doctor"
	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/wire"
)

type none struct{}

type body[T any] struct{ Body T }

type vmInput struct {
	VM string `path:"vm" maxLength:"255" doc:"name or UUID"`
}

type moveInput struct {
	ID string `path:"id" maxLength:"64" doc:"id of the move"`
}

type movesInput struct {
	VM     string `query:"vm" maxLength:"255" doc:"only those of this VM (name or UUID)"`
	Role   string `query:"role" enum:"source,destination" doc:"only those in which this host has the role"`
	Active bool   `query:"active" doc:"only those that are not over"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"at most so many, newest first"`
}

type startInput struct{ Body record.Request }

type startOutput struct {
	Location string `header:"Location" doc:"the move"`
	Body     record.Record
}

type resolveInput struct {
	ID   string `path:"id" maxLength:"64" doc:"id of the move"`
	Body resolution
}

type purgeInput struct {
	Service string `query:"service" maxLength:"512" doc:"only tickets for this service name"`
}

type purgeSeedsInput struct {
	VM string `query:"vm" maxLength:"255" doc:"only those of this VM (name or UUID)"`
}

type healthOutput struct {
	Status int
	Body   Health
}

// operations are the whole API; the OpenAPI document is made from them.
func (s *Server) operations(a huma.API) {
	b := s.o.Backend
	open(s, a, op("hello", "GET /v1/hello", "Versions and clock, to anybody"), s.hello)
	open(s, a, op("sign-in", "POST /v1/session", "Sign this connection in"), s.signIn)
	open(s, a, unhealthy(a, op("health", "GET /healthz", "Whether the agent has what it needs")), s.health)

	guarded(s, a, Viewer, op("get-host", "GET /v1/host", "The host, its settings, and who you are to it"),
		func(ctx context.Context, c Caller, _ *none) (*body[HostInfo], error) { return out(b.Host(ctx, c)) })
	guarded(s, a, Viewer, op("list-vms", "GET /v1/vms", "The host's VMs"),
		func(ctx context.Context, _ Caller, _ *none) (*body[[]VM], error) { return outList(b.VMs(ctx)) })
	guarded(s, a, Viewer, op("get-vm", "GET /v1/vms/{vm}", "One VM"),
		func(ctx context.Context, _ Caller, in *vmInput) (*body[VM], error) { return out(b.VM(ctx, in.VM)) })

	guarded(s, a, Operator, accepted(op("start-move", "POST /v1/moves", "Move a VM from this host to another")), s.startMove)
	guarded(s, a, Viewer, op("list-moves", "GET /v1/moves", "Moves, newest first"),
		func(ctx context.Context, _ Caller, in *movesInput) (*body[[]record.Record], error) {
			return outList(b.Moves(ctx, MoveFilter{VM: in.VM, Role: record.Role(in.Role), Active: in.Active, Limit: in.Limit}))
		})
	guarded(s, a, Viewer, op("get-move", "GET /v1/moves/{id}", "One move"),
		func(ctx context.Context, _ Caller, in *moveInput) (*body[record.Record], error) {
			return out(b.Move(ctx, in.ID))
		})
	guarded(s, a, Viewer, streaming[record.Event](a, op("watch-move", eventsRoute, "Events of a move, until it is over"),
		"each one's data is an Event, its id the sequence number, its event the kind. After the one of kind end the stream ends."), s.events)
	guarded(s, a, Operator, op("cancel-move", "POST /v1/moves/{id}/cancel", "End a move before handover"),
		func(ctx context.Context, c Caller, in *moveInput) (*body[record.Record], error) {
			return out(b.CancelMove(ctx, c, in.ID))
		})
	guarded(s, a, Administrator, op("resolve-move", "POST /v1/moves/{id}/resolve", "Decide a move whose outcome is unknown"),
		func(ctx context.Context, c Caller, in *resolveInput) (*body[record.Record], error) {
			return out(b.ResolveMove(ctx, c, in.ID, in.Body.Keep))
		})

	guarded(s, a, Viewer, op("list-tickets", "GET /v1/tickets", "The agent's ticket cache"),
		func(ctx context.Context, _ Caller, _ *none) (*body[[]Ticket], error) { return outList(b.Tickets(ctx)) })
	guarded(s, a, Operator, op("purge-tickets", "DELETE /v1/tickets", "Empty the agent's ticket cache"),
		func(ctx context.Context, c Caller, in *purgeInput) (*body[purged], error) {
			n, err := b.PurgeTickets(ctx, c, in.Service)
			return out(purged{Purged: n}, err)
		})
	guarded(s, a, Viewer, op("list-seeds", "GET /v1/storage/seeds", "What the host keeps of disks, for the next copy of them"),
		func(ctx context.Context, _ Caller, _ *none) (*body[[]Seed], error) { return outList(b.Seeds(ctx)) })
	guarded(s, a, Operator, op("purge-seeds", "DELETE /v1/storage/seeds", "Remove what the host keeps of disks"),
		func(ctx context.Context, c Caller, in *purgeSeedsInput) (*body[purgedSeeds], error) {
			n, err := b.PurgeSeeds(ctx, c, in.VM)
			return out(purgedSeeds{Purged: n}, err)
		})
	s.settingsOperations(a)
	s.eventlogOperations(a)
	guarded(s, a, Operator, op("probe-delegation", "POST /v1/delegation/probe", "Try whether this host may act for an operator"), s.probe)
	guarded(s, a, Operator, op("probe-network", "POST /v1/network/probe", "Try how this host reaches the addresses at which another takes moves"),
		func(ctx context.Context, c Caller, in *lookInput) (*body[NetworkProbeResult], error) {
			passages, err := b.ProbeNetwork(ctx, c, in.Body.Destination)
			if passages == nil {
				passages = []doctor.Passage{}
			}
			return out(NetworkProbeResult{passages}, err)
		})
}

func out[T any](v T, err error) (*body[T], error) { return &body[T]{v}, err }

// outList: an empty list is [], not null.
func outList[T any](v []T, err error) (*body[[]T], error) {
	if v == nil {
		v = []T{}
	}
	return &body[[]T]{v}, err
}

func (s *Server) hello(context.Context, *none) (*body[Hello], error) {
	return out(Hello{Host: s.o.Host, Version: s.o.Version, Oldest: wire.Oldest, Newest: wire.Newest, Time: s.o.Now().UTC()}, nil)
}

func (s *Server) health(ctx context.Context, _ *none) (*healthOutput, error) {
	h := Health{OK: true, Checks: s.checks.get(ctx, s.o.Backend.Health)}
	if h.Checks == nil {
		h.Checks = []HealthCheck{}
	}
	status := http.StatusOK
	for _, c := range h.Checks {
		if !c.OK {
			h.OK, status = false, http.StatusServiceUnavailable
		}
	}
	return &healthOutput{Status: status, Body: h}, nil
}

func (s *Server) startMove(ctx context.Context, c Caller, in *startInput) (*startOutput, error) {
	rec, err := s.o.Backend.StartMove(ctx, c, in.Body)
	return &startOutput{Location: movePath(rec.ID, ""), Body: rec}, err
}

func op(id, route, summary string) huma.Operation {
	method, path, _ := strings.Cut(route, " ")
	// The body's size and time are the middleware's (bound), not huma's.
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary,
		MaxBodyBytes: maxBody + 1, BodyReadTimeout: -1}
}

func accepted(o huma.Operation) huma.Operation {
	o.DefaultStatus = http.StatusAccepted
	return o
}

// unhealthy declares that 503 has the same body as 200.
func unhealthy(a huma.API, o huma.Operation) huma.Operation {
	schemas := a.OpenAPI().Components.Schemas
	o.Responses = map[string]*huma.Response{
		"503": {
			Description: "Something that the agent needs is missing; reason says what.",
			Content:     map[string]*huma.MediaType{"application/json": {Schema: schemas.Schema(reflect.TypeFor[Health](), true, "")}},
		},
		"default": {
			Description: "Error",
			Content:     map[string]*huma.MediaType{problemType: {Schema: schemas.Schema(reflect.TypeFor[Problem](), true, "")}},
		},
	}
	return o
}

// streaming declares what a StreamResponse cannot: events of type T, not one body.
func streaming[T any](a huma.API, o huma.Operation, says string) huma.Operation {
	schema := a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
	o.Responses = map[string]*huma.Response{"200": {
		Description: "Server-sent events; " + says + " An event named problem reports that it cannot go on.",
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: schema}},
	}}
	return o
}

// open registers an operation that needs no sign-in.
func open[I, O any](s *Server, a huma.API, o huma.Operation, h func(context.Context, *I) (*O, error)) {
	huma.Register(a, o, func(ctx context.Context, in *I) (*O, error) {
		v, err := h(ctx, in)
		if err != nil {
			return nil, problemOf(err, s.o.Host)
		}
		return v, nil
	})
}

// guarded registers an operation that needs role. The role is checked before
// the request is looked at.
func guarded[I, O any](s *Server, a huma.API, role Role, o huma.Operation, h func(context.Context, Caller, *I) (*O, error)) {
	o.Description = "Needs the role " + string(role) + "."
	o.Security = []map[string][]string{{"negotiate": {}}}
	o.Middlewares = append(o.Middlewares, func(hc huma.Context, next func(huma.Context)) {
		c := callerFrom(hc.Context())
		if err := s.allow(c, role); err != nil {
			remote := hc.RemoteAddr()
			if c.Local {
				remote = "" // a unix socket's client has none
			}
			s.tellRefused(Refusal{Caller: c, Remote: remote, Request: o.OperationID, Err: err})
			_, w := humago.Unwrap(hc)
			writeProblem(w, err, s.o.Host)
			return
		}
		next(hc)
	})
	open(s, a, o, func(ctx context.Context, in *I) (*O, error) { return h(ctx, callerFrom(ctx), in) })
}

// newAPI is huma without its extras: JSON only, no $schema members, no
// documentation pages.
func newAPI(mux *http.ServeMux, version string) huma.API {
	reg := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	reg.RegisterTypeAlias(reflect.TypeFor[fault.Error](), reflect.TypeFor[Problem]())
	reg.RegisterTypeAlias(reflect.TypeFor[fault.Problem](), reflect.TypeFor[Problem]())
	conf := huma.DefaultConfig("Drover agent", version)
	conf.CreateHooks = nil
	conf.Components = &huma.Components{Schemas: reg, SecuritySchemes: map[string]*huma.SecurityScheme{
		"negotiate": {Type: "http", Scheme: "negotiate", Description: "POST /v1/session once per connection, bound to the TLS session. The unix socket needs none."},
	}}
	conf.Info.Description = "Management interface of droverd. Errors are RFC 9457 problem details with Drover's code, host and hint."
	conf.OpenAPIPath, conf.DocsPath, conf.SchemasPath = "", "", ""
	conf.RejectUnknownQueryParameters = true
	return humago.New(mux, conf)
}
