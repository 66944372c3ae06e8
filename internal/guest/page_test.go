package guest

import (
	"errors"
	"strings"
	"testing"
)

const testNonce = 0x1122334455667789

func testMemory(t *testing.T, pages int, mix Mix) *Memory {
	t.Helper()
	code := make([]byte, 64<<10)
	rng := splitmix(7)
	for i := range code {
		code[i] = byte(rng.next() & 0x3f)
	}
	m := NewMemory(make([]byte, pages*PageSize), testNonce, Params{Mix: mix}, Files{Code: code})
	if err := m.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

var testMix = Mix{Zero: 25, Text: 25, Code: 25, Random: 25}

// pageOf finds a page of the kind.
func pageOf(t *testing.T, m *Memory, k Kind) int {
	t.Helper()
	for i := range m.gens {
		if m.kind(i) == k {
			return i
		}
	}
	t.Fatalf("no page of %s", k)
	return 0
}

func TestUntouchedMemoryVerifies(t *testing.T) {
	m := testMemory(t, 800, testMix)
	m.Rewrite(5000, 50)
	if err := m.VerifyAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := m.Status()
	if s.Errors != 0 || s.Passes != 1 || s.Filled != 800 || s.Rewritten != 5000 || s.GenerationSum != 5000 {
		t.Fatalf("status %+v", s)
	}
	if s.Zero < 100 || s.Zero > 300 {
		t.Errorf("%d zero pages of 800 with a share of 25%%", s.Zero)
	}
}

// Every way in which a migration could lose or mix up a page is seen, and
// named for what it is.
func TestDamageIsDetected(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, m *Memory) (bad int)
		want   string
		errors uint64
	}{
		{"flipped bit", func(t *testing.T, m *Memory) int {
			i := pageOf(t, m, KindRandom)
			m.page(i)[4000] ^= 0x10
			return i
		}, "corrupt", 1},
		{"flipped bit through Flip", func(t *testing.T, m *Memory) int {
			i := pageOf(t, m, KindText)
			if err := m.Flip(int64(i)); err != nil {
				t.Fatal(err)
			}
			return i
		}, "corrupt", 1},
		{"flipped bit of a zero page", func(t *testing.T, m *Memory) int {
			i := pageOf(t, m, KindZero)
			m.page(i)[4095] = 0x80
			return i
		}, "byte 4095 is 0x80, not zero", 1},
		{"stale page", func(t *testing.T, m *Memory) int {
			i := pageOf(t, m, KindCode)
			old := *m.page(i)
			for before := m.gens[i]; m.gens[i] == before; {
				m.Rewrite(100, 50)
			}
			*m.page(i) = old
			return i
		}, "stale", 1},
		{"page from the future", func(t *testing.T, m *Memory) int {
			i := pageOf(t, m, KindText)
			id := m.id(i)
			id.gen++
			seal(m.page(i), id)
			return i
		}, "from the future", 1},
		{"swapped pages", func(t *testing.T, m *Memory) int {
			i := pageOf(t, m, KindText)
			a, b := m.page(i), m.page(i+1)
			*a, *b = *b, *a
			return i
		}, "misplaced", 2},
		{"lost page", func(t *testing.T, m *Memory) int {
			i := pageOf(t, m, KindRandom)
			clear(m.page(i)[:])
			return i
		}, "lost: all zero", 1},
		{"lost zero page", func(t *testing.T, m *Memory) int {
			i := pageOf(t, m, KindZero)
			*m.page(i) = *m.page(pageOf(t, m, KindText))
			return i
		}, "not zero", 1},
		{"page of another boot", func(t *testing.T, m *Memory) int {
			i := pageOf(t, m, KindText)
			id := m.id(i)
			id.nonce++
			seal(m.page(i), id)
			return i
		}, "another boot", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := testMemory(t, 256, testMix)
			bad := tc.damage(t, m)
			var pe *PageError
			if err := checkPage(m.page(bad), m.id(bad)); !errors.As(err, &pe) || !strings.Contains(pe.Problem, tc.want) {
				t.Errorf("page: got %v, want %q", err, tc.want)
			}
			if err := m.VerifyAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := m.Status()
			if s.Errors != tc.errors || !strings.Contains(s.FirstError, tc.want) {
				t.Errorf("pass: %d errors, first %q; want %d, %q", s.Errors, s.FirstError, tc.errors, tc.want)
			}
		})
	}
}

// A single changed bit anywhere in a page is detected, wherever it is.
func TestEveryByteIsCovered(t *testing.T) {
	m := testMemory(t, 64, Mix{Text: 100})
	for off := range PageSize {
		m.page(3)[off] ^= 1 << (off % 8)
		if checkPage(m.page(3), m.id(3)) == nil {
			t.Fatalf("a flipped bit in byte %d is not seen", off)
		}
		m.page(3)[off] ^= 1 << (off % 8)
	}
	if err := checkPage(m.page(3), m.id(3)); err != nil {
		t.Fatalf("restored page: %v", err)
	}
}

// The rewriter must not heal what it would overwrite.
func TestRewritingDoesNotHideDamage(t *testing.T) {
	m := testMemory(t, 8, Mix{Random: 100})
	if err := m.Flip(5); err != nil {
		t.Fatal(err)
	}
	m.Rewrite(500, 0)
	if s := m.Status(); s.Errors == 0 || m.gens[5] != 0 {
		t.Fatalf("errors %d, page rewritten %d times", s.Errors, m.gens[5])
	}
}

func TestMemoryOfZerosOnlyIsNotRewritten(t *testing.T) {
	m := testMemory(t, 64, Mix{Zero: 100})
	m.Rewrite(100, 50)
	m.Verify(64)
	if s := m.Status(); s.Rewritten != 0 || s.Errors != 0 || s.Passes != 1 || s.Zero != 64 {
		t.Fatalf("status %+v", s)
	}
}

func TestPartialRewriteChangesLittle(t *testing.T) {
	m := testMemory(t, 1, Mix{Random: 100})
	before := *m.page(0)
	m.Rewrite(1, 100)
	changed := 0
	for i := 0; i < PageSize; i += 8 {
		if le.Uint64(before[i:]) != le.Uint64(m.page(0)[i:]) {
			changed++
		}
	}
	// generation, checksum and one word of content
	if changed != 3 {
		t.Fatalf("%d words changed, want 3", changed)
	}
	m.Rewrite(1, 0)
	if err := checkPage(m.page(0), m.id(0)); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkCheckPage(b *testing.B) {
	m := NewMemory(make([]byte, PageSize), 1, Params{Mix: Mix{Random: 100}}, Files{})
	_ = m.Fill(b.Context())
	b.SetBytes(PageSize)
	for b.Loop() {
		if err := checkPage(m.page(0), m.id(0)); err != nil {
			b.Fatal(err)
		}
	}
}
