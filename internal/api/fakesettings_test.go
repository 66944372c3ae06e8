package api

import (
	"context"
	"encoding/json"

	"drover/internal/record"
	"drover/internal/settings"
)

func (b *backend) Settings(context.Context) (settings.Settings, error) {
	return settings.Default(), nil
}

func (b *backend) ChangeSettings(_ context.Context, c Caller, ch settings.Change) (settings.Settings, error) {
	asked, err := json.Marshal(ch)
	b.note("settings "+string(asked), c)
	return settings.Default(), err
}

func (b *backend) NetworkAdapters(context.Context) ([]NetworkAdapter, error) { return nil, nil }

func (b *backend) Compare(context.Context, Caller, record.Request) (record.Comparison, error) {
	return record.Comparison{}, nil
}

func (b *backend) AdjustMove(context.Context, Caller, string, Adjustment) (record.Record, error) {
	return record.Record{}, nil
}
