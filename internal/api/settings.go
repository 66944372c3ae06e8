package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"drover/internal/record"
	"drover/internal/settings"
)

type changeInput struct{ Body settings.Change }

type compareInput struct{ Body record.Request }

type adjustInput struct {
	ID   string `path:"id" maxLength:"64" doc:"id of the move"`
	Body Adjustment
}

// settingsOperations are those about the host's settings and about moves to be.
func (s *Server) settingsOperations(a huma.API) {
	b := s.o.Backend
	guarded(s, a, Viewer, op("get-settings", "GET /v1/settings", "The host's live migration settings"),
		func(ctx context.Context, _ Caller, _ *none) (*body[settings.Settings], error) {
			return out(b.Settings(ctx))
		})
	guarded(s, a, Administrator, op("change-settings", "PATCH /v1/settings", "Change settings, all of them or none"),
		func(ctx context.Context, c Caller, in *changeInput) (*body[settings.Settings], error) {
			return out(b.ChangeSettings(ctx, c, in.Body))
		})
	guarded(s, a, Viewer, op("list-network-adapters", "GET /v1/network-adapters", "The host's network interfaces"),
		func(ctx context.Context, _ Caller, _ *none) (*body[[]NetworkAdapter], error) {
			return outList(b.NetworkAdapters(ctx))
		})
	guarded(s, a, Operator, op("compare", "POST /v1/compare", "All that is in the way of a move; nothing is moved"),
		func(ctx context.Context, c Caller, in *compareInput) (*body[record.Comparison], error) {
			return out(b.Compare(ctx, c, in.Body))
		})
	guarded(s, a, Operator, op("adjust-move", "POST /v1/moves/{id}/adjust", "Change a move under way"),
		func(ctx context.Context, c Caller, in *adjustInput) (*body[record.Record], error) {
			return out(b.AdjustMove(ctx, c, in.ID, in.Body))
		})
}

// Settings gives the host's live migration settings.
func (c *Client) Settings(ctx context.Context) (settings.Settings, error) {
	return call[settings.Settings](ctx, c, c.signed, http.MethodGet, "/v1/settings", nil)
}

// ChangeSettings changes them, all that ch says or nothing, and gives them back.
func (c *Client) ChangeSettings(ctx context.Context, ch settings.Change) (settings.Settings, error) {
	return call[settings.Settings](ctx, c, c.signed, http.MethodPatch, "/v1/settings", ch)
}

// NetworkAdapters lists the host's network interfaces.
func (c *Client) NetworkAdapters(ctx context.Context) ([]NetworkAdapter, error) {
	return call[[]NetworkAdapter](ctx, c, c.signed, http.MethodGet, "/v1/network-adapters", nil)
}

// Compare finds all that is in the way of a move.
func (c *Client) Compare(ctx context.Context, r record.Request) (record.Comparison, error) {
	return call[record.Comparison](ctx, c, c.signed, http.MethodPost, "/v1/compare", r)
}

// AdjustMove changes a move under way.
func (c *Client) AdjustMove(ctx context.Context, id string, a Adjustment) (record.Record, error) {
	return call[record.Record](ctx, c, c.signed, http.MethodPost, "/v1/moves/"+url.PathEscape(id)+"/adjust", a)
}
