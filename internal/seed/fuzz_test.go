package seed

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzLedger(f *testing.F) {
	f.Add(Ledger{}.Encode())
	f.Add(Ledger{Stamp: Stamp{Size: 9 * BlockSize, Inode: 7}, Entries: []Entry{{1, Sum{1}}, {8, Sum{2}}}}.Encode())
	f.Add([]byte(ledgerMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Decode(b)
		if err == nil && !bytes.Equal(l.Encode(), b) {
			t.Errorf("another form of %+v", l)
		}
		if err != nil && len(l.Entries) > 0 {
			t.Error("entries and an error")
		}
	})
}

// FuzzTake: whatever comes from a source, nothing is passed on that it did not send
// and that is not a block with the hash that it named.
func FuzzTake(f *testing.F) {
	have := content(random(2*BlockSize, 3))
	proof := func(n int) []byte {
		_, p, _ := have.index().Find(have[n*BlockSize : (n+1)*BlockSize])
		return p[:]
	}
	f.Add(append(beginItem(nil, itemBlock, 1), proof(1)...), []byte{3})
	f.Add(append(beginItem(nil, itemBlock, 0), proof(1)...), []byte{200})
	f.Add(append(append(beginItem(nil, itemLiteral, 3), "abc"...), append(beginItem(nil, itemBlock, 0), proof(0)...)...), []byte{1, 9})
	f.Add(beginItem(nil, itemLiteral, 0), []byte{})
	f.Add(beginItem(nil, itemLiteral, 1<<32-1), []byte{})
	f.Add([]byte{itemBlock, 0, 1, 0}, []byte{1})
	f.Fuzz(func(t *testing.T, wire, cuts []byte) {
		out := &pieces{}
		end := Take(out, have)
		var err error
		for i, rest := 0, wire; len(rest) > 0 && err == nil; i++ {
			n := len(rest)
			if len(cuts) > 0 {
				n = min(n, 1+int(cuts[i%len(cuts)]))
			}
			var took int
			if took, err = end.Write(rest[:n]); err == nil && took != n {
				t.Fatalf("%d of %d bytes and no error", took, n)
			}
			rest = rest[n:]
		}
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
		if most := len(wire) + len(wire)/(itemHead+len(Proof{}))*BlockSize; out.to.Len() > most {
			t.Errorf("%d bytes of %d", out.to.Len(), len(wire))
		}
	})
}

// FuzzRefer: whatever a program sends, and in whatever pieces, arrives.
func FuzzRefer(f *testing.F) {
	have := content(random(3*BlockSize, 4))
	f.Add([]byte{0, 1, 2, 9, 0}, uint16(1000))
	f.Add([]byte{2, 2, 2}, uint16(65535))
	f.Add([]byte("text"), uint16(1))
	f.Fuzz(func(t *testing.T, plan []byte, size uint16) {
		var sent []byte
		for i, p := range plan[:min(len(plan), 8)] { // each is a block that is there, or some bytes
			if p < 3 {
				sent = append(sent, have[int(p)*BlockSize:int(p+1)*BlockSize]...)
			} else {
				sent = append(sent, plan[i:]...)
			}
		}
		wire, arrived, err := there(t, sent, 1+int(size), have.index(), have)
		if err != nil || !bytes.Equal(arrived, sent) {
			t.Fatalf("%d of %d bytes, %v", len(arrived), len(sent), err)
		}
		s, pass := NewScanner(&nothing{}), NewScanner(&nothing{})
		total := 0
		for b := wire; len(b) > 0; {
			n, _, _ := s.Next(b)
			if n <= 0 || n > len(b) {
				t.Fatalf("%d of %d", n, len(b))
			}
			b = b[n:]
		}
		pass.Pass(wire)
		for _, s := range []*Scanner{s, pass} {
			if total = s.inner.(*nothing).n; total != len(sent) || s.lost {
				t.Errorf("the scanner saw %d of %d bytes, lost %v", total, len(sent), s.lost)
			}
		}
	})
}

// nothing counts what it is told of, and finds no page.
type nothing struct{ n int }

func (s *nothing) Next(b []byte) (int, uint64, bool) { s.n += len(b); return len(b), 0, false }
func (s *nothing) Pass(b []byte)                     { s.n += len(b) }
func (s *nothing) Skip(n int)                        { s.n += n }
