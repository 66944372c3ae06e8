package move_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"drover/internal/move"
	"drover/internal/wire"
)

// said is a message as the fuzz targets have it: its kind, a blank, its body.
func said(k wire.Kind, body any) []byte {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // messages of this program
	}
	return append([]byte(k+" "), b...)
}

// FuzzConversation is a source that was let in and says anything, in any order. Either
// the VM is the destination's in the end, or there is nothing of it.
func FuzzConversation(f *testing.F) {
	talk := func(messages ...[]byte) { f.Add(bytes.Join(messages, []byte("\n"))) }
	open, prepare := said(wire.KindOpen, opening()), said(wire.KindPrepare, wire.Prepare{Cookie: []byte("begin"), XML: definition(vm())})
	off := offer()
	off.Kind = wire.Offline
	talk(open, said(wire.KindOffer, offer()), prepare, said(wire.KindHandover, wire.Handover{}))
	talk(open, said(wire.KindOffer, off), prepare, said(wire.KindHandover, wire.Handover{}))
	talk(open, said(wire.KindOffer, offer()), prepare, said(wire.KindCancel, wire.Cancel{Reason: "x"}))
	talk(said(wire.KindQuery, wire.Query{Move: moveID, UUID: vmUUID, Abandon: true}))
	talk(open, open, prepare)
	talk(open, []byte(`offer {"kind":"live","disks":[{"target":"vda","virtual_bytes":-1}]}`))
	talk(open, said(wire.KindOffer, offering(func(o *wire.Offer) { o.Mappings.Disks = map[string]string{"vda": "/vms/x/"} })), prepare)
	talk([]byte(`open {"move":"01HZZZZZZZZZZZZZZZZZZZZZZZ","vm":"../x"}`))
	f.Fuzz(func(t *testing.T, conversation []byte) {
		w, h, p := hostile(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		go func() { // answers are not what this is about
			for {
				var env wire.Envelope
				if p.Receive(ctx, &env) != nil {
					return
				}
			}
		}()
		for i, line := range bytes.Split(conversation, []byte("\n")) {
			k, body, _ := bytes.Cut(line, []byte(" "))
			if i == 16 || !json.Valid(body) {
				break
			}
			if p.Send(ctx, wire.Envelope{Kind: wire.Kind(k), Body: body}) != nil {
				break // it hung up
			}
		}
		p.p.cut()
		w.clean(t, h)
		rows, err := h.current().m.List(context.Background(), storeFilter())
		if err != nil || len(rows) > 1 {
			t.Fatalf("%d moves of one connection, %v", len(rows), err)
		}
		here := false
		for _, rec := range rows {
			rec = h.over(t, rec.ID)
			here = rec.Phase == move.Done && !rec.Request.DryRun
		}
		if here {
			return
		}
		wantNothing(t, w, h)
	})
}

// FuzzAnswers is a destination that answers anything at one place before the handover:
// the VM runs on one host afterwards, which is the source's unless the move is done.
func FuzzAnswers(f *testing.F) {
	f.Add(uint8(0), []byte(`{"session":"AAAAAAAAAAAAAAAAAAAAAA==","secret":"AAAA","facts":{"host":"HV02","incoming":true}}`))
	f.Add(uint8(0), []byte(`{"facts":{"cpus":-1}}`))
	f.Add(uint8(1), []byte(`{"disks":[{"target":"vda","action":"copy","path":"/vms/app01.qcow2"}]}`))
	f.Add(uint8(1), []byte(`{"disks":[{"target":"vda","action":"shared","path":"/vms/app01.qcow2"}],"left_out":["x"]}`))
	f.Add(uint8(1), []byte(`{"problems":[{"code":"x","args":{"a":"b"}}]}`))
	f.Add(uint8(2), []byte(`{"cookie":"ZXZpbA=="}`))
	f.Add(uint8(2), []byte(`{"cookie":"c3RhcnQ="}`))
	f.Add(uint8(3), []byte(`{"verdict":"perhaps"}`))
	kinds := []wire.Kind{wire.KindOpened, wire.KindAdmitted, wire.KindPrepared}
	f.Fuzz(func(t *testing.T, at uint8, body []byte) {
		if !json.Valid(body) {
			return
		}
		w, src, dst := pair(t, vm())
		w.forge("destination", kinds[int(at)%len(kinds)], json.RawMessage(body), make(chan struct{}))
		rec := src.over(t, src.current().begin(t, request()))
		winner, loser := src, dst
		if rec.Phase == move.Done {
			winner, loser = dst, src
		}
		w.clean(t, src, dst)
		if on := w.virt.Running(vmUUID); !slices.Equal(on, []string{winner.name}) {
			t.Errorf("after %s the VM runs on %v", rec.Phase, on)
		}
		if loser.has(vmUUID) {
			t.Errorf("%s has the VM too", loser.name)
		}
	})
}
