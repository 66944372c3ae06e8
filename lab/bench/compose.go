package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/klauspost/compress/zstd"

	"drover/internal/guest"
)

// Compose makes a profile's memory as the guest makes it, from the files that its
// initramfs carries (guest.ReadFiles), and measures it.
func Compose(ctx context.Context, profile guest.Profile, files guest.Files) (*Filled, error) {
	f := &Filled{Mix: profile.Params.Mix.String(), Bytes: profile.Params.Memory}
	block := make([]byte, f.Bytes)
	// Any nonce will do; always the same one makes the figures the same.
	memory := guest.NewMemory(block, composeNonce, profile.Params, files)
	if err := memory.Fill(ctx); err != nil {
		return nil, err
	}
	var err error
	if f.ZeroShare, f.Zstd1Ratio, f.Compressor, err = Measure(ctx, bytes.NewReader(block)); err != nil {
		return nil, fmt.Errorf("content of %s: %w", profile.Name, err)
	}
	f.WholeShare, f.PartialBytes, err = composeChanges(ctx, profile.Params, files)
	return f, err
}

const composeNonce = 0x64726f76657231

// composeChanges rewrites a few pages at a time, so that hardly one of them is
// rewritten twice before it is compared.
func composeChanges(ctx context.Context, p guest.Params, files guest.Files) (whole, partial float64, err error) {
	const rounds, rewrites = 50, 32
	block := make([]byte, min(p.Memory, 32<<20))
	memory := guest.NewMemory(block, composeNonce, p, files)
	if err := memory.Fill(ctx); err != nil {
		return 0, 0, err
	}
	pages, wholes, changed := 0, 0, 0
	before := make([]byte, len(block))
	for range rounds {
		copy(before, block)
		memory.Rewrite(rewrites, p.Partial)
		for at := 0; at < len(block); at += guest.PageSize {
			n := differing(before[at:at+guest.PageSize], block[at:at+guest.PageSize])
			switch {
			case n == 0:
				continue
			case n > guest.PageSize/4:
				wholes++
			default:
				changed += n
			}
			pages++
		}
	}
	if pages > 0 {
		whole = float64(wholes) / float64(pages)
	}
	if pages > wholes {
		partial = float64(changed) / float64(pages-wholes)
	}
	return whole, partial, nil
}

func differing(a, b []byte) (n int) {
	if bytes.Equal(a, b) {
		return 0
	}
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// Measure reads memory to its end: the share of its pages that are zero, and the
// ratio of the others, one after another, by the program `zstd -1`, or by this
// module's fastest zstd where there is none; by says which.
func Measure(ctx context.Context, memory io.Reader) (zeros, ratio float64, by string, err error) {
	z, by, err := startZstd(ctx)
	if err != nil {
		return 0, 0, "", err
	}
	pages, empty, err := withoutZeros(z, memory)
	packed, closeErr := z.finish()
	if err = errors.Join(err, closeErr); err != nil {
		return 0, 0, by, err
	}
	if packed > 0 && pages > empty {
		ratio = float64((pages-empty)*guest.PageSize) / float64(packed)
	}
	return float64(empty) / float64(max(pages, 1)), ratio, by, nil
}

// withoutZeros copies the pages that are not zero and counts all and the others.
func withoutZeros(to io.Writer, memory io.Reader) (pages, empty int, err error) {
	buffered := bufio.NewReaderSize(memory, 1<<20)
	var page, zero [guest.PageSize]byte
	for {
		if _, err = io.ReadFull(buffered, page[:]); err != nil {
			break
		}
		pages++
		if page == zero {
			empty++
			continue
		}
		if _, err = to.Write(page[:]); err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return pages, empty, err
}

// zstdWriter compresses what is written; finish ends it and gives what became of it.
type zstdWriter struct {
	io.Writer
	finish func() (bytes int64, err error)
}

type packedBytes int64

func (p *packedBytes) Write(b []byte) (int, error) {
	*p += packedBytes(len(b))
	return len(b), nil
}

func startZstd(ctx context.Context) (zstdWriter, string, error) {
	out := new(packedBytes)
	path, err := exec.LookPath("zstd")
	if err != nil {
		enc, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return zstdWriter{}, "", err
		}
		return zstdWriter{enc, func() (int64, error) { err := enc.Close(); return int64(*out), err }}, "klauspost zstd, fastest", nil
	}
	version, err := exec.CommandContext(ctx, path, "-qV").Output()
	if err != nil {
		return zstdWriter{}, "", fmt.Errorf("zstd -qV: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, "-1", "-q", "-c", "-T1")
	cmd.Stdout = out
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return zstdWriter{}, "", fmt.Errorf("zstd: %w", err)
	}
	finish := func() (int64, error) {
		err := errors.Join(in.Close(), cmd.Wait())
		return int64(*out), err
	}
	return zstdWriter{in, finish}, "zstd " + strings.TrimSpace(string(version)) + " -1", nil
}
