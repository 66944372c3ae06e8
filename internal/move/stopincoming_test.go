package move

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"
)

// stubborn is an incoming VM that libvirt cannot stop in good order.
type stubborn struct {
	Incoming
	answer error // nil: none before the end of ctx
}

func (s stubborn) Finish(ctx context.Context, _ []byte, _ bool) ([]byte, error) {
	if s.answer != nil {
		return nil, s.answer
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

type destroyer struct {
	Hypervisor
	destroyed string
}

func (d *destroyer) Destroy(ctx context.Context, uuid string) error {
	d.destroyed = uuid
	return ctx.Err()
}

func TestIncomingVMThatHangsIsDestroyed(t *testing.T) {
	refused := errors.New("refused")
	for name, tc := range map[string]struct {
		answer, want error
		destroyed    string
	}{
		"no answer":        {nil, nil, "uuid"},
		"libvirt's answer": {refused, refused, ""},
	} {
		h := &destroyer{}
		d := &destination{run: &run{m: &Manager{opt: Options{Hypervisor: h, UnwindTimeout: 40 * time.Millisecond}}, log: slog.New(slog.DiscardHandler),
			rec: Record{UUID: "uuid"}}}
		if err := d.stopIncoming(t.Context(), stubborn{answer: tc.answer}); !errors.Is(err, tc.want) || h.destroyed != tc.destroyed {
			t.Errorf("%s: %v, destroyed %q", name, err, h.destroyed)
		}
	}
}
