package store

import "sync"

// bell wakes any number of waiters, as often as it is rung.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

// next is closed by the next wake.
func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
