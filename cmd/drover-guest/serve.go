//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/guest"
)

// serve runs the guest's work until ctx ends. The heartbeat answers from the
// start, also while memory is being filled.
func serve(ctx context.Context, p guest.Params) error {
	conn, err := net.ListenPacket("udp4", fmt.Sprintf(":%d", guest.Port))
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	defer conn.Close()
	block, err := unix.Mmap(-1, 0, int(p.Memory)&^(guest.PageSize-1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("memory of %d bytes: %w", p.Memory, err)
	}
	files, err := contentFiles(p.Files)
	if err != nil {
		return err
	}
	nonce := bootNonce()
	memory := guest.NewMemory(block, nonce, p, files)
	clock := &guest.Clock{}
	responder := guest.NewResponder(p.Name, nonce, memory, clock)

	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := startDisks(ctx, &wg, responder, nonce, p.Record); err != nil {
		return err
	}
	if p.Tick > 0 {
		wg.Go(func() { clock.Run(ctx, p.Tick) })
	}
	wg.Go(func() { runMemory(ctx, memory, responder, p) })
	wg.Go(func() { report(ctx, memory) })
	wg.Go(func() { watchPower(ctx, cancel) })
	say("%s answers on %s port %d, boot %016x", p.Name, p.Addr, guest.Port, nonce)
	return responder.Serve(ctx, conn)
}

// contentFiles is what pages of text, code and logs are made of.
func contentFiles(real bool) (files guest.Files, err error) {
	if !real {
		if files.Code, err = os.ReadFile("/init"); err != nil {
			return files, fmt.Errorf("code for pages: %w", err)
		}
		return files, nil
	}
	for name, part := range map[string]*[]byte{"text": &files.Text, "code": &files.Code, "log": &files.Log} {
		if *part, err = mapFile("/" + guest.FilesDir + "/" + name); err != nil {
			return files, fmt.Errorf("content for pages: %w", err)
		}
	}
	return files, nil
}

// mapFile is the file as the page cache holds it, where it is anyway.
func mapFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(fi.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return data, nil
}

func startDisks(ctx context.Context, wg *sync.WaitGroup, r *guest.Responder, nonce uint64, interval time.Duration) error {
	if interval <= 0 {
		return nil
	}
	for _, name := range findDisks() {
		ring, err := openDisk(name, nonce)
		if err != nil {
			return err
		}
		if err := r.AddRing(ring); err != nil {
			return err
		}
		say("disk %s: %d bytes", name, ring.Status().Size)
		wg.Go(func() { runDisk(ctx, ring, interval) })
	}
	return nil
}

// runMemory fills, then verifies and rewrites until ctx ends.
func runMemory(ctx context.Context, m *guest.Memory, r *guest.Responder, p guest.Params) {
	if err := m.Fill(ctx); err != nil {
		return
	}
	if p.Corrupt >= 0 {
		if err := m.Flip(p.Corrupt); err != nil {
			say("corrupt: %v", err)
		}
	}
	r.SetReady()
	say("memory: %d pages filled", m.Status().Pages)
	var wg sync.WaitGroup
	wg.Go(func() { m.RunRewriter(ctx, p.Rewrite, p.Partial) })
	wg.Go(func() { m.RunVerifier(ctx, p.Verify) })
	wg.Wait()
}

// report prints a line every few seconds, and the first error at once.
func report(ctx context.Context, m *guest.Memory) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	reported := false
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		s := m.Status()
		if s.Errors > 0 && !reported {
			reported = true
			say("WRONG: %s", s.FirstError)
		}
		if n%10 == 0 {
			say("memory: %d passes, %d rewritten, %d errors", s.Passes, s.Rewritten, s.Errors)
		}
	}
}
