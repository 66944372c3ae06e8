package virttest

import (
	"context"
	"time"

	"drover/internal/virt"
)

// Host is what the contract covers of *virt.Host.
type Host interface {
	Domain(ctx context.Context, nameOrUUID string) (virt.Domain, error)
	Outgoing(ctx context.Context, p virt.MigrationParams) (Outgoing, error)
	Incoming(ctx context.Context, p virt.MigrationParams) (Incoming, error)
	Resume(ctx context.Context, vm string) error
	Destroy(ctx context.Context, vm string) error
	Undefine(ctx context.Context, vm string, keepNVRAM bool) error
	AbortJob(ctx context.Context, vm string) error
	Suspend(ctx context.Context, vm string) error
	DirtyRate(ctx context.Context, vm string, period time.Duration) (float64, error)
	MemorySample(ctx context.Context, vm string, pages int, seed uint64) ([]byte, error)
}

// Outgoing is *virt.Outgoing's methods.
type Outgoing interface {
	Begin(ctx context.Context) (cookie []byte, xml string, err error)
	Perform(ctx context.Context, cookie []byte, persistentXML string) ([]byte, error)
	Confirm(ctx context.Context, cookie []byte, cancelled bool) error
	Guard(ctx context.Context) error
	Stats(ctx context.Context) (virt.JobStats, error)
	Suspended() <-chan time.Time
	SetMaxDowntime(ctx context.Context, d time.Duration) error
	Close() error
}

// Incoming is *virt.Incoming's methods.
type Incoming interface {
	Prepare(ctx context.Context, cookie []byte, xml string) ([]byte, error)
	Finish(ctx context.Context, cookie []byte, cancelled bool) ([]byte, error)
	Close() error
}

// Real makes a Host of a real one.
func Real(h *virt.Host) Host { return realHost{h} }

type realHost struct{ *virt.Host }

func (r realHost) Outgoing(ctx context.Context, p virt.MigrationParams) (Outgoing, error) {
	o, err := r.Host.Outgoing(ctx, p)
	if err != nil {
		return nil, err
	}
	return o, nil
}

func (r realHost) Incoming(ctx context.Context, p virt.MigrationParams) (Incoming, error) {
	i, err := r.Host.Incoming(ctx, p)
	if err != nil {
		return nil, err
	}
	return i, nil
}
