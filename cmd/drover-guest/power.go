//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// watchPower calls off when the power button is pressed, as `virsh shutdown`
// does, and returns when ctx ends. A machine without the button's driver can
// only be switched off.
func watchPower(ctx context.Context, off func()) {
	paths, _ := filepath.Glob("/dev/input/event*") // the pattern is well-formed
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			say("power button: %v", err)
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = f.Close() })
		wg.Go(func() {
			defer stop()
			defer f.Close()
			readKeys(f, off)
		})
	}
}

// readKeys reads struct input_event (linux/input.h): two words of time, type,
// code and value.
func readKeys(r io.Reader, off func()) {
	const (
		evKey    = 1
		keyPower = 116
	)
	var e [24]byte
	for {
		if _, err := io.ReadFull(r, e[:]); err != nil {
			return
		}
		kind, code := binary.LittleEndian.Uint16(e[16:]), binary.LittleEndian.Uint16(e[18:])
		if kind == evKey && code == keyPower && e[20] == 1 {
			say("power button")
			off()
		}
	}
}
