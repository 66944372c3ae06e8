package virt

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	lv "github.com/digitalocean/go-libvirt"
)

// Procedures of libvirt's remote protocol, as far as small answers them.
const (
	procClose, procLookup, procAuthList, procRegister, procLifecycle = 2, 24, 66, 316, 318
	remoteProgram                                                    = 0x20008086
	typeReply, typeMessage                                           = 1, 2
)

// small is a libvirt that knows one domain and its events. registered gets each connection
// on which somebody wants to hear of them.
func small(t *testing.T, dom lv.Domain) (socket string, registered <-chan net.Conn) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	reg, done := make(chan net.Conn, 16), make(chan struct{})
	go func() {
		defer close(done)
		var ends []chan struct{}
		for {
			c, err := ln.Accept()
			if err != nil {
				break
			}
			end := make(chan struct{})
			ends = append(ends, end)
			go func() { defer close(end); defer c.Close(); answer(c, dom, reg) }()
		}
		for _, end := range ends {
			<-end
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return socket, reg
}

func answer(c net.Conn, dom lv.Domain, reg chan<- net.Conn) {
	for {
		var head [28]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[0:]))-28); err != nil {
			return
		}
		proc := binary.BigEndian.Uint32(head[12:])
		var body []byte
		switch proc {
		case procAuthList:
			body = words(1, 0) // one way: none
		case procRegister:
			body = words(1)
		case procLookup:
			body = domain(dom)
		}
		if packet(c, proc, typeReply, binary.BigEndian.Uint32(head[20:]), body) != nil {
			return
		}
		if proc == procRegister {
			reg <- c
		}
	}
}

func packet(c net.Conn, proc, kind, serial uint32, body []byte) error {
	_, err := c.Write(append(words(uint32(28+len(body)), remoteProgram, 1, proc, kind, serial, 0), body...))
	return err
}

func words(v ...uint32) (b []byte) {
	for _, w := range v {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return b
}

func domain(d lv.Domain) []byte {
	b := append(words(uint32(len(d.Name))), d.Name...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return append(append(b, d.UUID[:]...), words(uint32(d.ID))...)
}

// TestEventsAreAskedForAgain: the connection on which they come may be lost alone.
func TestEventsAreAskedForAgain(t *testing.T) {
	u, _ := parseUUID("0a1b2c3d-0001-4002-8003-00000000000f")
	dom := lv.Domain{Name: "APP1", UUID: u, ID: 1}
	socket, registered := small(t, dom)
	h := New(Config{Socket: socket, Name: "HV01", CallTimeout: 10 * time.Second})
	o, err := h.Outgoing(t.Context(), MigrationParams{UUID: formatUUID(u), Name: dom.Name})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 3 {
		var c net.Conn
		select {
		case c = <-registered:
		case <-ctx.Done():
			t.Fatal("nobody asks for events")
		}
		stopped := append(append(words(1), domain(dom)...), words(uint32(lv.DomainEventSuspended), uint32(lv.DomainEventSuspendedMigrated))...)
		tick := time.NewTicker(20 * time.Millisecond) // the library drops what comes with its registration
		for heard := false; !heard; {
			if err := packet(c, procLifecycle, typeMessage, 0, stopped); err != nil {
				t.Fatal(err)
			}
			select {
			case <-o.Suspended():
				heard = true
			case <-tick.C:
			case <-ctx.Done():
				t.Fatal("the event does not come")
			}
		}
		tick.Stop()
		_ = c.Close()
	}
}

// TestCloseEndsTheSearchForEvents: also when there is no libvirt any more.
func TestCloseEndsTheSearchForEvents(t *testing.T) {
	u, _ := parseUUID("0a1b2c3d-0001-4002-8003-00000000000f")
	socket, registered := small(t, lv.Domain{Name: "APP1", UUID: u, ID: 1})
	h := New(Config{Socket: socket, Name: "HV01", CallTimeout: 10 * time.Second})
	o, err := h.Outgoing(t.Context(), MigrationParams{UUID: formatUUID(u), Name: "APP1"})
	if err != nil {
		t.Fatal(err)
	}
	h.socket = socket + "-gone"
	_ = (<-registered).Close()
	for range o.watch.Events() {
		t.Error("an event")
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}
