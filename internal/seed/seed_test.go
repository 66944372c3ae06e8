package seed

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b)
	return b
}

// content is a Source in memory.
type content []byte

func (c content) Block(number uint32, proof Proof, p []byte) error {
	if int(number) >= len(c)/BlockSize {
		return ErrMalformed
	}
	copy(p, c[int(number)*BlockSize:])
	if sha256.Sum256(p) != proof {
		return ErrDamaged
	}
	return nil
}

func (c content) index() *Index {
	var sums []byte
	for at := 0; at+BlockSize <= len(c); at += BlockSize {
		sum := sha256.Sum256(c[at : at+BlockSize])
		sums = append(sums, sum[:SumSize]...)
	}
	return NewIndex(sums)
}

// everyBlock takes each BlockSize bytes for a block.
type everyBlock struct{}

func (e *everyBlock) Next(b []byte) (n int, key uint64, block bool) {
	if len(b) < BlockSize {
		return 0, 0, false
	}
	return BlockSize, 0, true
}

// pieces is a connection that gives what was sent in pieces, and keeps what is written.
type pieces struct {
	net.Conn
	from []byte
	size int
	to   bytes.Buffer
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.from) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.from[:min(p.size, len(p.from))])
	p.from = p.from[n:]
	return n, nil
}

func (p *pieces) Write(b []byte) (int, error) { return p.to.Write(b) }

func (p *pieces) CloseWrite() error { return nil }

// there carries what is sent through both ends, and gives what travelled as well.
func there(t testing.TB, sent []byte, size int, x *Index, from Source) (wire, arrived []byte, err error) {
	t.Helper()
	wire, err = io.ReadAll(Refer(&pieces{from: sent, size: size}, x, &everyBlock{}))
	if err != nil {
		t.Fatal(err)
	}
	out := &pieces{}
	end := Take(out, from)
	for rest := wire; len(rest) > 0 && err == nil; {
		n := min(len(rest), size)
		_, err = end.Write(rest[:n])
		rest = rest[n:]
	}
	if err == nil {
		err = end.(interface{ CloseWrite() error }).CloseWrite()
	}
	return wire, out.to.Bytes(), err
}

func TestBlocksThatAreThereDoNotTravel(t *testing.T) {
	have := content(random(8*BlockSize, 1))
	changed := bytes.Clone(have)
	changed[3*BlockSize+17] ^= 1
	sent := append(append(changed, make([]byte, BlockSize)...), "and a rest that is no block"...)
	for _, size := range []int{1 << 20, 70_000, 4096, 33, 1} {
		wire, arrived, err := there(t, sent, size, have.index(), have)
		if err != nil || !bytes.Equal(arrived, sent) {
			t.Fatalf("pieces of %d: %d of %d bytes arrived, or others; %v", size, len(arrived), len(sent), err)
		}
		if most := 2*BlockSize + 8*40 + 2000; len(wire) > most {
			t.Errorf("pieces of %d: %d bytes travelled, want %d at most", size, len(wire), most)
		}
	}
}

func TestAWrongBlockIsNeverPassedOn(t *testing.T) {
	have := content(random(4*BlockSize, 1))
	rotten := content(bytes.Clone(have))
	rotten[2*BlockSize+100] ^= 8
	_, arrived, err := there(t, have, 1<<20, have.index(), rotten)
	if err != ErrDamaged || !bytes.Equal(arrived, have[:2*BlockSize]) {
		t.Errorf("%v after %d bytes", err, len(arrived))
	}
}

func TestZerosAreNotLookedFor(t *testing.T) {
	x := content(make([]byte, BlockSize)).index()
	if _, _, ok := x.Find(make([]byte, BlockSize)); ok {
		t.Error("a block of zeros was found")
	}
}

func TestIndexRefusesWhatIsNoRowOfHashes(t *testing.T) {
	for _, n := range []int{0, 15, 17, (MostBlocks + 1) * SumSize} {
		if NewIndex(make([]byte, n)) != nil {
			t.Errorf("an index of %d bytes", n)
		}
	}
}

// A destination chooses its hashes: those that begin alike must not lie in one row of slots.
func TestHashesThatBeginAlikeAreSpread(t *testing.T) {
	const n = 1 << 16
	sums := make([]byte, n*SumSize)
	for i := range n {
		binary.BigEndian.PutUint32(sums[i*SumSize+8:], uint32(i))
	}
	x := NewIndex(sums)
	row, longest := 0, 0
	for _, v := range x.slots {
		if row++; v == 0 {
			row = 0
		}
		longest = max(longest, row)
	}
	if longest > n/16 {
		t.Errorf("%d of %d in one row", longest, n)
	}
	for i := range uint32(n) {
		if x.slots[x.at(x.sum(i))] != i+1 {
			t.Fatalf("hash %d is not found", i)
		}
	}
}

func TestLedgerIsReadAsItWasWrittenAndNotOtherwise(t *testing.T) {
	l := Ledger{Stamp: Stamp{Size: 9 * BlockSize, Inode: 7, Changed: -1, Wrote: 12}, Entries: []Entry{{1, Sum{1}}, {8, Sum{2}}}}
	b := l.Encode()
	got, err := Decode(b)
	if err != nil || got.Stamp != l.Stamp || len(got.Entries) != 2 || got.Entries[1] != l.Entries[1] {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range b {
		if _, err := Decode(b[:i]); err == nil {
			t.Errorf("a ledger of %d bytes of %d", i, len(b))
		}
		c := bytes.Clone(b)
		c[i] ^= 4
		if _, err := Decode(c); err == nil {
			t.Errorf("a ledger with another byte at %d", i)
		}
	}
	for name, l := range map[string]Ledger{
		"beyond the end": {Stamp: Stamp{Size: BlockSize}, Entries: []Entry{{1, Sum{}}}},
		"out of order":   {Stamp: Stamp{Size: 9 * BlockSize}, Entries: []Entry{{3, Sum{}}, {3, Sum{}}}},
	} {
		if _, err := Decode(l.Encode()); err == nil {
			t.Errorf("a ledger with a block %s", name)
		}
	}
}

// stock is a root with a shelf, on a clock of its own.
type stock struct {
	t    *testing.T
	root string
	now  time.Time
	*Shelf
}

func newStock(t *testing.T) *stock {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &stock{t: t, root: root, now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	s.open()
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *stock) open() {
	s.Shelf = Open(Options{Host: "HV01", Dirs: []string{s.root}, MaxAge: time.Hour, MaxBytes: 4 << 20, Now: func() time.Time { return s.now }, Log: quiet})
}

// disk writes a file and keeps it.
func (s *stock) disk(name string, data []byte, o Origin) bool {
	s.t.Helper()
	file := filepath.Join(s.root, name)
	if err := os.WriteFile(file, data, 0o644); err != nil {
		s.t.Fatal(err)
	}
	kept := s.Keep(file, o)
	if _, err := os.Lstat(file); (err == nil) == (kept && o.Kind != Retained) {
		s.t.Errorf("kept %v, and the file: %v", kept, err)
	}
	s.now = s.now.Add(time.Second)
	return kept
}

func (s *stock) mine(kind string) Origin {
	return Origin{VM: "APP01", UUID: "u1", Host: "HV02", Move: "m" + s.now.String(), Kind: kind}
}

// lent is what a move from a host may take.
func (s *stock) lent(uuid, host string) int {
	s.t.Helper()
	set := s.Lend(s.t.Context(), uuid, host)
	if set == nil {
		return 0
	}
	defer set.Close()
	return set.Len()
}

func TestSeedsAreForOneVMAndOneHost(t *testing.T) {
	s := newStock(t)
	data := random(5*BlockSize, 2)
	copy(data[BlockSize:], make([]byte, BlockSize))
	if !s.disk("a.raw", data, s.mine(FailedCopy)) {
		t.Fatal("not kept")
	}
	for _, c := range []struct {
		uuid, host string
		want       int
	}{{"u1", "hv02", 4}, {"u1", "HV03", 0}, {"u2", "HV02", 0}, {"u1", "", 0}} {
		if got := s.lent(c.uuid, c.host); got != c.want {
			t.Errorf("VM %q, host %q: %d blocks, want %d", c.uuid, c.host, got, c.want)
		}
	}
	set := s.Lend(t.Context(), "u1", "HV02")
	p := make([]byte, BlockSize)
	if err := set.Block(3, sha256.Sum256(data[4*BlockSize:]), p); err != nil || !bytes.Equal(p, data[4*BlockSize:]) {
		t.Error(err)
	}
	if err := set.Block(4, Proof{}, p); err == nil {
		t.Error("a block beyond the end")
	}
	if s.List()[0].InUse != true || s.Purge("app02") != 0 || s.Purge("APP01") != 1 {
		t.Error("purge")
	}
	if _, err := os.Stat(s.dir(s.root)); err != nil {
		t.Error("a seed in use was removed")
	}
	set.Close()
	if _, err := os.Stat(s.dir(s.root)); !os.IsNotExist(err) {
		t.Error("it was not removed when it was given back")
	}
}
