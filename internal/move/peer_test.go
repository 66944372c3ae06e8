package move_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/store"
	"drover/internal/wire"
)

// forge puts another body into messages of a kind until done is closed.
func (w *world) forge(side string, k wire.Kind, body any, done <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forged = append(w.forged, forgery{side, k, body, done})
}

type forgery struct {
	side string
	kind wire.Kind
	body any
	done <-chan struct{}
}

// forgedAs is the message that goes instead of env.
func (w *world) forgedAs(side string, env wire.Envelope) wire.Envelope {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.forged {
		select {
		case <-f.done:
			continue
		default:
		}
		if f.side == side && f.kind == env.Kind {
			env.Body, _ = json.Marshal(f.body)
		}
	}
	return env
}

// peer is a hand-driven control stream to a host, as whoever c says.
type peer struct {
	t *testing.T
	*end
	cuts []*peer // that end with it
}

func (w *world) peer(t *testing.T, to *host, c move.Caller) *peer {
	t.Helper()
	a := &agent{h: &host{w: w, name: "hostile"}, dead: make(chan struct{})}
	mine, theirs := newPipe(w, a, to.current(), "hostile", "answering")
	to.current().serve(&inbound{theirs, c})
	p := &peer{t: t, end: mine}
	t.Cleanup(func() { p.p.cut() })
	return p
}

// delegated is a caller as a source that acts for the operator.
func delegated() move.Caller {
	return move.Caller{Principal: operator, DelegatedBy: "HV01$@LAB", SignIn: "own-credentials", Storage: true, Peer: "HV01"}
}

// call sends a request and waits for its answer.
func call[T any](p *peer, k wire.Kind, req any, want wire.Kind) (resp T, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	env, err := wire.Seal(k, req)
	if err != nil {
		return resp, err
	}
	if err := p.Send(ctx, env); err != nil {
		return resp, err
	}
	var answer wire.Envelope
	if err := p.Receive(ctx, &answer); err != nil {
		return resp, err
	}
	return resp, wire.Unseal(answer, want, "test", "test", &resp)
}

const moveID = "01HZZZZZZZZZZZZZZZZZZZZZZZ"

func opening() wire.Open {
	return wire.Open{Move: moveID, VM: vmName, UUID: vmUUID, IncludeStorage: true}
}

func offer() wire.Offer {
	return wire.Offer{Kind: wire.Live, XML: definition(vm()), Disks: []wire.Disk{{Target: "vda", Device: "disk", Path: disk,
		Format: "qcow2", Cache: "none", VirtualBytes: 1 << 20, AllocatedBytes: 1 << 19}}}
}

// hostile is a destination with a hand-driven source.
func hostile(t *testing.T) (*world, *host, *peer) {
	t.Helper()
	w := newWorld(t, "HV02")
	return w, w.host("HV02"), w.peer(t, w.host("HV02"), delegated())
}

func (p *peer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) opens() {
	p.t.Helper()
	_, err := call[wire.Opened](p, wire.KindOpen, opening(), wire.KindOpened)
	p.must(err)
}

func (p *peer) offers() {
	p.t.Helper()
	p.opens()
	_, err := call[wire.Admitted](p, wire.KindOffer, offer(), wire.KindAdmitted)
	p.must(err)
}

func (p *peer) prepares() {
	p.t.Helper()
	p.offers()
	_, err := call[wire.Prepared](p, wire.KindPrepare, wire.Prepare{Cookie: []byte("begin"), XML: definition(vm())}, wire.KindPrepared)
	p.must(err)
}

// wantNothing asserts that a refused peer left nothing on the host.
func wantNothing(t *testing.T, w *world, h *host) {
	t.Helper()
	if h.has(vmUUID) {
		t.Errorf("%s has the VM", h.name)
	}
	if f := h.disks.list(); len(f) > 0 {
		t.Errorf("%s has files %v", h.name, f)
	}
	w.clean(t, h)
	if s := h.ledger.unbalanced(); s != "" {
		t.Errorf("%s: %s", h.name, s)
	}
}

func wantFault(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("error %v, want %s", err, code)
	}
}

func storeFilter() store.Filter { return store.Filter{} }
