package krb

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// maxReplays bounds the cache: at 100 sign-ins a second it holds what can be
// replayed within the ten minutes that clocks may differ.
const maxReplays = 65536

var (
	errReplay     = errors.New("this authenticator was used before")
	errReplayFull = errors.New("too many sign-ins within ten minutes")
)

// replayCache remembers authenticators by the hash of their ciphertext. Names in
// an AP-REQ are not authenticated and can be varied at will; the ciphertext
// cannot be changed without the session key.
type replayCache struct {
	mu    sync.Mutex
	seen  map[[32]byte]time.Time // until when it could be accepted again
	limit int
}

func newReplayCache(limit int) *replayCache {
	return &replayCache{seen: make(map[[32]byte]time.Time), limit: limit}
}

// add fails with errReplay if cipher was added before, and with errReplayFull
// when it cannot be remembered: accepting it then would open a replay.
func (r *replayCache) add(cipher []byte, now, until time.Time) error {
	h := sha256.Sum256(cipher)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.seen[h]; ok {
		return errReplay
	}
	if len(r.seen) >= r.limit {
		for k, t := range r.seen {
			if now.After(t) {
				delete(r.seen, k)
			}
		}
		if len(r.seen) >= r.limit {
			return errReplayFull
		}
	}
	r.seen[h] = until
	return nil
}

func (r *replayCache) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}
