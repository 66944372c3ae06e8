package guest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// batch is how many pages are handled under one lock. On an emulated processor
// it is well under a millisecond, so the heartbeat does not wait longer.
const batch = 16

// Memory is a block of pages that are rewritten and verified. Every page is
// verified before it is rewritten as well, so a wrong page cannot be healed
// unseen. Safe for concurrent use.
type Memory struct {
	nonce   uint64
	mix     Mix
	content *content

	mu     sync.Mutex
	pages  []byte
	gens   []uint32 // expected generation, apart from the pages themselves
	rng    splitmix
	cursor int
	stats  MemoryStatus
}

// NewMemory takes the block (a multiple of PageSize, all zero), the boot's
// nonce and the bytes of programs for code pages. Nothing is verified until
// Fill has ended.
func NewMemory(block []byte, nonce uint64, mix Mix, code []byte) *Memory {
	n := len(block) / PageSize
	m := &Memory{
		nonce: nonce, mix: mix, content: newContent(code),
		pages: block[:n*PageSize], gens: make([]uint32, n), rng: splitmix(nonce),
	}
	m.stats.Pages = uint64(n)
	return m
}

// Status is a copy of the counters.
func (m *Memory) Status() MemoryStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// Fill writes every page once, also the zero ones: only a page that was
// written has memory of its own. It ends early with the context's error.
func (m *Memory) Fill(ctx context.Context) error {
	for i := 0; i < len(m.gens); {
		m.mu.Lock()
		for end := min(i+batch, len(m.gens)); i < end; i++ {
			m.write(i)
			m.stats.Filled++
			if m.kind(i) == KindZero {
				m.stats.Zero++
			}
		}
		m.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		runtime.Gosched()
	}
	return nil
}

// Flip inverts one bit of a page without telling the checksum.
func (m *Memory) Flip(page int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if page < 0 || page >= int64(len(m.gens)) {
		return fmt.Errorf("page %d of %d", page, len(m.gens))
	}
	m.page(int(page))[PageSize/2] ^= 1
	return nil
}

// VerifyAll is one full pass from the first page, without a pace.
func (m *Memory) VerifyAll(ctx context.Context) error {
	for i := 0; i < len(m.gens); i += batch {
		m.mu.Lock()
		for j := i; j < min(i+batch, len(m.gens)); j++ {
			m.verify(j)
		}
		m.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		runtime.Gosched()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Passes++
	return nil
}

// Verify checks the next n pages after those of the last call, and begins at
// the first again when it has seen the last.
func (m *Memory) Verify(n int) {
	for n > 0 && len(m.gens) > 0 {
		m.mu.Lock()
		for range min(n, batch) {
			m.verify(m.cursor)
			if m.cursor++; m.cursor == len(m.gens) {
				m.cursor = 0
				m.stats.Passes++
			}
		}
		m.mu.Unlock()
		n -= batch
		runtime.Gosched()
	}
}

// Rewrite gives n pages, chosen at random, their next generation; partial
// percent of them change in 8 bytes of content only. Zero pages stay zero.
func (m *Memory) Rewrite(n, partial int) {
	for n > 0 && len(m.gens) > 0 && m.mix.Zero < 100 {
		m.mu.Lock()
		for range min(n, batch) {
			m.rewriteOne(partial)
		}
		m.mu.Unlock()
		n -= batch
		runtime.Gosched()
	}
}

// RunVerifier verifies at the pace until ctx ends. A pace of 0 waits only.
func (m *Memory) RunVerifier(ctx context.Context, bytesPerSecond int64) {
	paced(ctx, bytesPerSecond, m.Verify)
}

// RunRewriter rewrites at the pace until ctx ends.
func (m *Memory) RunRewriter(ctx context.Context, bytesPerSecond int64, partial int) {
	paced(ctx, bytesPerSecond, func(n int) { m.Rewrite(n, partial) })
}

// paced calls do with the number of pages that are due. What a stopped guest
// missed is not made up for: more than 100 ms of debt is forgiven.
func paced(ctx context.Context, bytesPerSecond int64, do func(pages int)) {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	last, due := time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			due += min(now.Sub(last).Seconds(), 0.1) * float64(bytesPerSecond) / PageSize
			last = now
			if n := int(due); n > 0 {
				do(n)
				due -= float64(n)
			}
		}
	}
}

func (m *Memory) page(i int) *[PageSize]byte {
	return (*[PageSize]byte)(m.pages[i*PageSize:])
}

// kind is a function of the index alone: runs of 8 pages are alike, as memory
// of programs is.
func (m *Memory) kind(i int) Kind {
	s := splitmix(uint64(i>>3) + m.nonce)
	r := int(s.below(100))
	for k, share := range [...]int{m.mix.Zero, m.mix.Text, m.mix.Code} {
		if r < share {
			return Kind(k)
		}
		r -= share
	}
	return KindRandom
}

func (m *Memory) id(i int) pageID {
	return pageID{kind: m.kind(i), index: uint64(i), gen: uint64(m.gens[i]), nonce: m.nonce}
}

func (m *Memory) write(i int) {
	id, p := m.id(i), m.page(i)
	if id.kind == KindZero {
		p[0] = 0
		return
	}
	m.content.fill(p, id.kind, m.nonce^id.index<<32^id.gen)
	seal(p, id)
}

func (m *Memory) verify(i int) bool {
	m.stats.Verified++
	err := checkPage(m.page(i), m.id(i))
	if err == nil {
		return true
	}
	m.stats.Errors++
	if m.stats.FirstError == "" {
		m.stats.FirstError = clip(err.Error())
	}
	return false
}

func (m *Memory) rewriteOne(partial int) {
	i := int(m.rng.below(uint64(len(m.gens))))
	for tries := 0; m.kind(i) == KindZero; tries++ {
		if tries == 100 {
			return // hardly a page is not zero
		}
		i = int(m.rng.below(uint64(len(m.gens))))
	}
	if !m.verify(i) {
		return // left as it is: evidence, and every pass counts it again
	}
	m.gens[i]++
	m.stats.GenerationSum++
	m.stats.Rewritten++
	if int(m.rng.below(100)) >= partial {
		m.write(i)
		return
	}
	p := m.page(i)
	word := pageHeader + int(m.rng.below((PageSize-pageHeader)/8))*8
	le.PutUint64(p[word:], m.rng.next())
	seal(p, m.id(i))
}
