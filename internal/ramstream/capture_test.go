package ramstream

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// capture is one migration of testdata.
type capture struct {
	name    string
	streams [][]byte
	// What QEMU says that it sent, over all connections; Normal are pages as they are,
	// or compressed by multifd.
	Normal int `json:"normal"`
}

func captures(t testing.TB) []capture {
	t.Helper()
	names, err := filepath.Glob("testdata/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	var all []capture
	for _, name := range names {
		c := capture{name: strings.TrimSuffix(filepath.Base(name), ".json")}
		text, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(strings.TrimSuffix(name, ".json") + ".[0-9].zst")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(files)
		for _, file := range files {
			c.streams = append(c.streams, unpack(t, file))
		}
		all = append(all, c)
	}
	return all
}

func unpack(t testing.TB, file string) []byte {
	t.Helper()
	packed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	b, err := d.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// found is one page of a stream.
type found struct {
	offset int
	key    uint64
}

// scan is all pages of a stream that is there as a whole.
func scan(t testing.TB, stream []byte) []found {
	t.Helper()
	var pages []found
	s := New()
	for at := 0; at < len(stream); {
		n, key, page := s.Next(stream[at:])
		if n == 0 {
			break
		}
		if page {
			pages = append(pages, found{at, key})
		}
		at += n
	}
	return pages
}

// read is a simple reading of a stream, with none of the Scanner's ways: it has
// the whole stream, names blocks, and ends at the first thing that is not memory's.
type read struct {
	b     []byte
	at    int
	block string
	pages []place
}

type place struct {
	offset  int
	block   string
	address uint64
}

func (r *read) number(n int) (v uint64) {
	for range n {
		v = v<<8 | uint64(r.b[r.at])
		r.at++
	}
	return v
}

func (r *read) text(n int) string {
	r.at += n
	return string(r.b[r.at-n : r.at])
}

func (r *read) page(address uint64) {
	r.pages = append(r.pages, place{r.at, r.block, address})
	r.at += 4096
}

func (r *read) sections() {
	for r.at = 8; ; {
		switch kind := r.number(1); kind {
		case 7:
			r.text(int(r.number(4)))
		case 1:
			if r.number(4); r.text(int(r.number(1))) != "ram" {
				return
			}
			r.number(8)
			r.entries()
		case 2, 3:
			if r.number(4); true {
				r.entries()
			}
			if kind == 3 {
				return
			}
		case 8:
			command := r.number(2)
			data := r.text(int(r.number(2)))
			if command == 7 {
				r.text(int(binary.BigEndian.Uint32([]byte(data))))
			}
		case 0x7e:
			r.number(4)
		default:
			return
		}
	}
}

func (r *read) entries() {
	for {
		word := r.number(8)
		address, flags := word&^0xfff, word&0xfff
		if flags&(2|8|0x40|0x100) != 0 && flags&0x20 == 0 {
			r.block = r.text(int(r.number(1)))
		}
		switch flags &^ 0x20 {
		case 2:
			r.number(1)
		case 4:
			for total := int64(address); total > 0; {
				r.text(int(r.number(1)))
				total -= int64(r.number(8))
			}
		case 8:
			r.page(address)
		case 0x10:
			return
		case 0x40:
			r.number(1)
			r.text(int(r.number(2)))
		case 0x100:
			r.text(int(r.number(4)))
		case 0x200:
		default:
			panic("not an entry")
		}
	}
}

func (r *read) packets() {
	for r.at = 64; r.at < len(r.b); {
		h := r.b[r.at:]
		flags, normal, next := binary.BigEndian.Uint32(h[8:]), binary.BigEndian.Uint32(h[16:]), binary.BigEndian.Uint32(h[20:])
		name, _, _ := strings.Cut(string(h[64:320]), "\x00")
		r.block = name
		r.at += 1344
		switch {
		case normal == 0:
		case flags > 1:
			r.at += int(next)
		default:
			for i := range normal {
				r.page(binary.BigEndian.Uint64(h[320+8*i:]))
			}
		}
	}
}

// places is what the simple reading finds in a stream.
func places(stream []byte) []place {
	r := &read{b: stream}
	if binary.BigEndian.Uint32(stream) == 0x5145564d {
		r.sections()
	} else {
		r.packets()
	}
	return r.pages
}
