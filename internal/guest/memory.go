package guest

import (
	"context"
	"fmt"
	"math/bits"
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
	p       Params
	shift   int // pages of a run are 1<<shift; a run is of one kind
	content *content

	mu     sync.Mutex
	pages  []byte
	gens   []uint32 // expected generation, apart from the pages themselves
	rng    splitmix
	tx     uint64 // transactions on the heap so far
	cursor int
	stats  MemoryStatus
	// What is rewritten, as indices of pages or of buffers' first pages.
	hot, cold []uint32
}

// NewMemory takes the block (a multiple of PageSize, all zero), the boot's
// nonce, what p says of memory, and real content (zero: none). Nothing is
// verified until Fill has ended.
func NewMemory(block []byte, nonce uint64, p Params, files Files) *Memory {
	n := len(block) / PageSize
	m := &Memory{
		nonce: nonce, p: p, shift: 3, content: newContent(files), tx: oldRows,
		pages: block[:n*PageSize], gens: make([]uint32, n), rng: splitmix(nonce),
	}
	if p.Buffer > 0 {
		m.shift = bits.Len64(uint64(p.Buffer/PageSize)) - 1
	}
	m.stats.Pages = uint64(n)
	m.choose()
	return m
}

// choose decides what is rewritten, and which of it often.
func (m *Memory) choose() {
	step := m.unit()
	for i := 0; i+step <= len(m.gens); i += step {
		kind := m.kind(i)
		clean := kind == KindZero || m.p.Mix.Heap > 0 && kind != KindHeap && kind != KindLog
		if clean && m.p.Buffer == 0 {
			continue
		}
		s := splitmix(m.nonce ^ uint64(i)<<20)
		if int(s.below(100)) < m.p.Skew.Pages {
			m.hot = append(m.hot, uint32(i))
		} else {
			m.cold = append(m.cold, uint32(i))
		}
	}
}

// unit is how many pages are rewritten at once.
func (m *Memory) unit() int {
	if m.p.Buffer > 0 {
		return 1 << m.shift
	}
	return 1
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
// percent of them change in a part of their content only. Zero pages stay zero.
// With buffers (Params.Buffer) whole ones are rewritten, so more than n pages may
// be: the result is how many.
func (m *Memory) Rewrite(n, partial int) int {
	done := 0
	for done < n && len(m.hot)+len(m.cold) > 0 {
		m.mu.Lock()
		for end := done + min(n-done, batch); done < end; done += m.unit() {
			m.rewriteOne(partial)
		}
		m.mu.Unlock()
		runtime.Gosched()
	}
	return done
}

// RunVerifier verifies at the pace until ctx ends. A pace of 0 waits only.
func (m *Memory) RunVerifier(ctx context.Context, bytesPerSecond int64) {
	paced(ctx, bytesPerSecond, func(n int) int {
		m.Verify(n)
		return n
	})
}

// RunRewriter rewrites at the pace until ctx ends.
func (m *Memory) RunRewriter(ctx context.Context, bytesPerSecond int64, partial int) {
	paced(ctx, bytesPerSecond, func(n int) int { return m.Rewrite(n, partial) })
}

// paced calls do with the number of pages that are due; it gives the number that
// it has done, which may be more. What a stopped guest
// missed is not made up for: more than 100 ms of debt is forgiven.
func paced(ctx context.Context, bytesPerSecond int64, do func(pages int) int) {
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
				due -= float64(do(n))
			}
		}
	}
}

func (m *Memory) page(i int) *[PageSize]byte {
	return (*[PageSize]byte)(m.pages[i*PageSize:])
}

// kind is a function of the index alone, and of the generation where buffers
// are reused: the pages of a run are alike, as memory of programs is.
func (m *Memory) kind(i int) Kind {
	s := splitmix(uint64(i>>m.shift) + m.nonce)
	if m.p.Buffer > 0 {
		s ^= splitmix(m.gens[i]) << 32
	}
	r := int(s.below(100))
	for k, share := range m.p.Mix.shares() {
		if r < *share {
			return Kind(k)
		}
		r -= *share
	}
	return KindRandom
}

func (m *Memory) id(i int) pageID {
	return pageID{kind: m.kind(i), index: uint64(i), gen: uint64(m.gens[i]), nonce: m.nonce}
}

func (m *Memory) write(i int) {
	id, p := m.id(i), m.page(i)
	switch {
	case id.kind != KindZero:
	case id.gen == 0:
		p[0] = 0
		return
	default: // a buffer that held something else
		clear(p[:])
		return
	}
	tx := m.tx
	if id.gen == 0 {
		tx = 0
	}
	run, pages := id.index>>m.shift, 1<<m.shift
	m.content.fill(p, id.kind, source{seed: m.nonce ^ run<<32 ^ id.gen, nth: i & (pages - 1), pages: pages, index: id.index, tx: tx})
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

// pick is the next page or buffer to rewrite.
func (m *Memory) pick() int {
	from := m.cold
	if len(m.hot) > 0 && (len(from) == 0 || int(m.rng.below(100)) < m.p.Skew.Rewrites) {
		from = m.hot
	}
	return int(from[m.rng.below(uint64(len(from)))])
}

// rewriteOne leaves pages alone that are wrong: they are evidence, and every
// pass counts them again.
func (m *Memory) rewriteOne(partial int) {
	i := m.pick()
	m.tx += pageRows
	if m.p.Buffer == 0 {
		if m.verify(i) {
			m.next(i, int(m.rng.below(100)) < partial)
		}
		return
	}
	good := true
	for j := i; j < i+m.unit(); j++ {
		good = m.verify(j) && good
	}
	for j := i; good && j < i+m.unit(); j++ {
		m.next(j, false)
	}
}

// next gives a page its next generation.
func (m *Memory) next(i int, partial bool) {
	m.gens[i]++
	m.stats.GenerationSum++
	m.stats.Rewritten++
	if !partial {
		m.write(i)
		return
	}
	p, id := m.page(i), m.id(i)
	m.content.update(p, id.kind, m.p.Rows, m.tx, &m.rng)
	seal(p, id)
}
