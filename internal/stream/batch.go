package stream

import "sync"

// batch lies between TLS and the connection. TLS makes one call of the kernel for
// each record of 16 KiB that it writes; batch makes one of a whole frame. It keeps
// nothing back while no frame is being written.
type batch struct {
	*wireConn

	mu   sync.Mutex // TLS can write by itself, to answer a request for new keys
	open bool       // a frame is being written
	out  []byte
}

const (
	// batchSize is that of a frame with what TLS adds to its records.
	batchSize = frameSize + frameSize/64
	// leastBatch is a frame that is one record, about.
	leastBatch = 16 << 10
)

// Write keeps records while a frame is being written.
func (b *batch) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return b.wireConn.Write(p)
	}
	if len(b.out)+len(p) > batchSize {
		if err := b.send(); err != nil {
			return 0, err
		}
	}
	b.out = append(b.out, p...)
	return len(p), nil
}

// begin says that a frame follows, and flush that it is there.
func (b *batch) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = true
	if b.out == nil {
		b.out = make([]byte, 0, batchSize)
	}
}

func (b *batch) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = false
	return b.send()
}

func (b *batch) send() error {
	if len(b.out) == 0 {
		return nil
	}
	_, err := b.wireConn.Write(b.out)
	b.out = b.out[:0]
	return err
}
