//go:build faultinject

package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// reservations are those that were made and not released yet.
var reservations atomic.Int64

// counted keeps the number of reservations that are held in the file reserved of the
// directory that DROVERD_INJECT=hold:DIRECTORY names, for tests that look for what a move
// has left.
func counted(release func()) func() {
	dir, found := strings.CutPrefix(os.Getenv("DROVERD_INJECT"), "hold:")
	if !found {
		return release
	}
	note := func(n int64) { // a file that cannot be written makes the test fail that reads it
		_ = os.WriteFile(filepath.Join(dir, "reserved"), []byte(strconv.FormatInt(n, 10)), 0o600)
	}
	note(reservations.Add(1))
	var once sync.Once
	return func() {
		release()
		once.Do(func() { note(reservations.Add(-1)) })
	}
}
