package agent

import (
	"context"

	"drover/internal/api"
)

// Seeds lists what this host keeps of disks.
func (b *backend) Seeds(context.Context) ([]api.Seed, error) {
	out := []api.Seed{}
	for _, i := range b.seeds.List() {
		out = append(out, api.Seed{ID: i.ID, VM: i.VM, UUID: i.UUID, Kind: i.Kind, Host: i.Host, Move: i.Move, Path: i.Path, File: i.File,
			Bytes: i.Bytes, Content: i.Content, Made: i.Made, Expires: i.Expires, InUse: i.InUse})
	}
	return out, nil
}

// PurgeSeeds removes them, or those of one VM.
func (b *backend) PurgeSeeds(ctx context.Context, c api.Caller, vm string) (int, error) {
	n := b.seeds.Purge(vm)
	b.audit(ctx, c, "seed.purge", vm, nil, map[string]any{"purged": n})
	return n, nil
}
