package api

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/fault"
	"drover/internal/record"
)

// collect runs Watch to its end and gives the seqs seen.
func collect(c *Client, ctx context.Context, after int64, each func(record.Event)) (seqs []int64, err error) {
	for e, err := range c.Watch(ctx, "M1", after) {
		if err != nil {
			return seqs, err
		}
		seqs = append(seqs, e.Seq)
		if each != nil {
			each(e)
		}
	}
	return seqs, nil
}

func TestWatchEndsWithTheMove(t *testing.T) {
	b := start(t)
	b.backend.emit(record.EventPhase)
	b.backend.emit(record.EventPlan)
	seqs, err := collect(b.client("viewer"), t.Context(), 0, func(e record.Event) {
		switch e.Seq {
		case 2:
			b.backend.emit(record.EventNotice)
		case 3:
			b.backend.emit(record.EventEnd)
		}
	})
	if d := cmp.Diff([]int64{1, 2, 3, 4}, seqs); d != "" || err != nil {
		t.Error(d, err)
	}
	seqs, err = collect(b.client("viewer"), t.Context(), 2, nil)
	if d := cmp.Diff([]int64{3, 4}, seqs); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestWatchGoesOnWhereTheConnectionBroke(t *testing.T) {
	b := start(t)
	cut := make(chan net.Conn, 10)
	front := listener(t, func(c net.Conn) {
		out, err := net.Dial("tcp", b.addr)
		if err != nil {
			return
		}
		defer out.Close()
		cut <- out
		go func() { _, _ = bufio.NewReader(c).WriteTo(out); out.Close() }()
		_, _ = bufio.NewReader(out).WriteTo(c)
	})
	retries := 0
	c := b.client("viewer", func(o *ClientOptions) {
		o.Address = front
		o.Retrying = func(error, time.Duration) { retries++ }
	})
	for range 3 {
		b.backend.emit(record.EventPhase)
	}
	seqs, err := collect(c, t.Context(), 0, func(e record.Event) {
		switch e.Seq {
		case 3:
			(<-cut).Close()
			b.backend.emit(record.EventPhase)
		case 4:
			(<-cut).Close()
			b.backend.emit(record.EventEnd)
		}
	})
	if d := cmp.Diff([]int64{1, 2, 3, 4, 5}, seqs); d != "" || err != nil {
		t.Error(d, err)
	}
	b.backend.mu.Lock()
	defer b.backend.mu.Unlock()
	if d := cmp.Diff([]int64{0, 3, 4}, b.backend.seen); d != "" || retries < 2 {
		t.Errorf("asked for %s, %d retries", d, retries)
	}
}

func TestWatchSurvivesARestartOfTheAgent(t *testing.T) {
	b := start(t)
	b.backend.emit(record.EventPhase)
	o := b.server.o
	o.Listen, o.Registry = []string{b.addr}, nil
	seqs, err := collect(b.client("viewer"), t.Context(), 0, func(e record.Event) {
		if e.Seq == 1 {
			if err := b.stop(); err != nil {
				t.Error(err)
			}
			b.run(o)
			b.backend.emit(record.EventEnd)
		}
	})
	if d := cmp.Diff([]int64{1, 2}, seqs); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestWatchLeavesASilentConnection(t *testing.T) {
	b := start(t, func(o *Options) { o.keepAlive = time.Hour })
	b.backend.emit(record.EventPhase)
	var told []error
	c := b.client("viewer", func(o *ClientOptions) {
		o.silence = 100 * time.Millisecond
		o.WatchPatience = 20 * time.Second // a busy machine takes its time to connect again
		o.Retrying = func(err error, _ time.Duration) {
			if told = append(told, err); len(told) == 3 {
				b.backend.emit(record.EventEnd)
			}
		}
	})
	seqs, err := collect(c, t.Context(), 0, nil)
	if d := cmp.Diff([]int64{1, 2}, seqs); d != "" || err != nil {
		t.Error(d, err)
	}
	for _, err := range told {
		want(t, err, fault.PeerSilent)
	}
}

func TestWatchStops(t *testing.T) {
	b := start(t)
	c := b.client("viewer", func(o *ClientOptions) { o.WatchPatience = time.Nanosecond })
	for _, err := range c.Watch(t.Context(), "M2", 0) {
		want(t, err, fault.MoveNotFound)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.backend.emit(record.EventPhase)
	_, err := collect(c, ctx, 0, func(record.Event) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for range c.Watch(t.Context(), "M1", 0) {
		break // must not hang, nor leave anything behind
	}
	b.backend.emit("broken")
	seqs, err := collect(c, t.Context(), 0, nil)
	if f := want(t, err, fault.StoreFailed); f.Host != "HV01" || len(seqs) != 1 {
		t.Error(f, seqs)
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	_, err = collect(c, t.Context(), 0, nil)
	want(t, err, fault.AgentUnreachable)
}

func TestEventStreamOnTheWire(t *testing.T) {
	// The stream outlives the time that a request's body may take.
	b := start(t, func(o *Options) { o.keepAlive, o.bodyTime = 20*time.Millisecond, 30*time.Millisecond })
	b.backend.emit(record.EventPhase)
	b.backend.emit(record.EventPhase)
	conn := b.signed("viewer")
	req, err := http.NewRequest("GET", "https://HV01/v1/moves/M1/events?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", "1")
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Error(got)
	}
	var text strings.Builder
	alive := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if lines.Text() == ": alive" {
			if alive++; alive == 5 {
				b.backend.emit(record.EventEnd)
			}
			continue
		}
		text.WriteString(lines.Text() + "\n")
	}
	got := strings.ReplaceAll(text.String(), "\n\n", "\n")
	for _, s := range []string{"id: 2\nevent: phase\ndata: {\"seq\":2,", "id: 3\nevent: end\ndata: {\"seq\":3,"} {
		if !strings.Contains(got, s) {
			t.Errorf("no %q in %q", s, got)
		}
	}
	if strings.Contains(got, "id: 1\n") {
		t.Error("Last-Event-ID was not honoured:", got)
	}
}

func TestStopEndsStreamsAtOnceAndLetsRequestsFinish(t *testing.T) {
	b := start(t)
	b.backend.block = make(chan struct{})
	b.backend.ctxErr = make(chan error, 1)
	c := b.client("operator", func(o *ClientOptions) { o.WatchPatience = time.Nanosecond })
	b.backend.emit(record.EventPhase)
	started := make(chan error, 1)
	go func() {
		_, err := c.StartMove(context.Background(), record.Request{VM: "A", Destination: "B"})
		started <- err
	}()
	poll(t, func() bool { return len(b.backend.called()) > 0 })
	stopped := make(chan error, 1)
	_, err := collect(c, t.Context(), 0, func(record.Event) { go func() { stopped <- b.stop() }() })
	if f := fault.From(err); f.Code != fault.PeerGone && f.Code != fault.AgentUnreachable {
		t.Error("watch:", err)
	}
	close(b.backend.block)
	if err := <-started; err != nil {
		t.Error("a request under way was broken:", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestStopEndsRequestsAfterGraceAndWaitsForThem(t *testing.T) {
	b := start(t, func(o *Options) { o.Grace = 50 * time.Millisecond })
	b.backend.block, b.backend.linger = make(chan struct{}), make(chan struct{})
	b.backend.ctxErr = make(chan error, 1)
	c := b.client("operator")
	done := make(chan error, 1)
	go func() {
		_, err := c.StartMove(context.Background(), record.Request{VM: "A", Destination: "B"})
		done <- err
	}()
	poll(t, func() bool { return len(b.backend.called()) > 0 })
	stopped := make(chan error, 1)
	go func() { stopped <- b.stop() }()
	want(t, <-b.backend.ctxErr, fault.ShuttingDown)
	if err := <-done; err == nil {
		t.Error("the request succeeded")
	}
	select {
	case <-stopped:
		t.Error("Run returned while a request was being handled")
	case <-time.After(100 * time.Millisecond):
	}
	close(b.backend.linger)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func poll(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen within 10 s")
		}
	}
}
