package fold

import "sync/atomic"

// Budget bounds the pages that the streams of one move have remembered, on one
// host. Both ends count alike, so that what the sender takes, the receiver has.
type Budget struct{ left atomic.Int64 }

// NewBudget makes a budget of so many slots.
func NewBudget(slots int) *Budget {
	b := &Budget{}
	b.left.Store(int64(slots))
	return b
}

// Stats counts what became of pages.
type Stats struct {
	Pages  uint64 `json:"pages"`  // that were looked at
	Zero   uint64 `json:"zero"`   // of zeros
	Repeat uint64 `json:"repeat"` // the same as one that was sent before
	Delta  uint64 `json:"delta"`  // sent as a difference to a former version
}

// Folder is the sender's side, for one stream. It is not safe for use by
// several goroutines at a time.
type Folder struct{ scan Scanner }

// NewFolder makes the folder of a stream. What it remembers comes out of b.
func NewFolder(s Scanner, b *Budget) *Folder { return &Folder{scan: s} }

// Fold appends one folded block to dst, within its capacity, and tells how many
// bytes of src, at most MaxRaw, it stands for. Without last it may leave less
// than a page and its header at the end of src, to be given again with what
// follows it; with last it takes what there is, as long as dst has room.
func (f *Folder) Fold(dst, src []byte, last bool) (block []byte, n int) { return dst, 0 }

// Pass tells of bytes that travel as they are, without a folded block.
func (f *Folder) Pass(src []byte) { f.scan.Pass(src) }

// Stats counts so far.
func (f *Folder) Stats() Stats { return Stats{} }

// Close gives memory and budget back.
func (f *Folder) Close() {}

// Unfolder is the receiver's side, for one stream. It trusts nothing in a block.
type Unfolder struct{}

// NewUnfolder makes the unfolder of a stream; what it has to remember comes out
// of b.
func NewUnfolder(b *Budget) *Unfolder { return &Unfolder{} }

// Unfold appends what a block stands for to dst, at most MaxRaw bytes. On an
// error, ErrBlock, the stream cannot go on.
func (u *Unfolder) Unfold(dst, block []byte) ([]byte, error) { return dst, ErrBlock }

// Close gives memory and budget back.
func (u *Unfolder) Close() {}
