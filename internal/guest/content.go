package guest

import "strings"

// content makes the bytes of pages.
type content struct {
	words [][textSlot]byte // padded, so that a word is copied without a loop
	lens  []int
	files [kinds][]byte // real content for a kind, if there is any
}

// textSlot is longer than any word with its blank.
const textSlot = 16

// newContent takes what real content there is: a kind with less than two runs
// of pages of it is made of words.
func newContent(files Files) *content {
	c := &content{}
	c.files[KindText], c.files[KindCode], c.files[KindLog] = files.Text, files.Code, files.Log
	add := func(w string) {
		var slot [textSlot]byte
		c.lens = append(c.lens, copy(slot[:], w))
		c.words = append(c.words, slot)
	}
	for _, w := range strings.Fields(wordList) {
		add(w + " ")
		add(w + "s ")
		add(w + ", ")
		add(strings.ToUpper(w[:1]) + w[1:] + " ")
	}
	add("\n")
	add("1 ")
	add("2026 ")
	return c
}

// source says where the content of a page comes from: the seed is that of a run
// of pages, of which it is the page nth of pages many; content of files goes on from
// each page of a run to the next. index and tx are for rows (heap).
type source struct {
	seed       uint64
	nth, pages int
	index, tx  uint64
}

// fill writes the body of a page of the kind.
func (c *content) fill(p *[PageSize]byte, kind Kind, s source) {
	body := p[pageHeader:]
	if file := c.files[kind]; len(file) > 2*s.pages*PageSize {
		rng := splitmix(s.seed)
		off := int(rng.below(uint64(len(file)-s.pages*len(body))))&^15 + s.nth*len(body)
		copy(body, file[off:])
		return
	}
	// Mixed first: the seeds of runs that follow each other are alike.
	rng := splitmix(s.seed)
	rng = splitmix(rng.next() + uint64(s.nth))
	rng = splitmix(rng.next())
	switch kind {
	case KindRandom:
		for i := 0; i < len(body); i += 8 {
			le.PutUint64(body[i:i+8], rng.next())
		}
	case KindHeap:
		c.heap(body, s.index, s.tx, &rng)
	default:
		c.text(body, &rng)
	}
}

// update changes a part of a page's body: rows of a heap, a line of a log, 8
// bytes of any other.
func (c *content) update(p *[PageSize]byte, kind Kind, rows int, tx uint64, rng *splitmix) {
	body := p[pageHeader:]
	file := c.files[kind]
	switch {
	case kind == KindHeap:
		c.updateRows(body, rows, tx, rng)
	case kind == KindLog && len(file) > PageSize:
		line := 64 + int(rng.below(128))
		at := int(rng.below(uint64(len(body) - line)))
		copy(body[at:at+line], file[rng.below(uint64(len(file)-line)):])
	default:
		word := int(rng.below(uint64(len(body)/8))) * 8
		le.PutUint64(body[word:], rng.next())
	}
}

func (c *content) text(body []byte, rng *splitmix) {
	n := uint64(len(c.words))
	i := 0
	for i+textSlot <= len(body) {
		// Four words from one step of the generator: it is the slow part.
		for r, k := rng.next(), 0; k < 4 && i+textSlot <= len(body); k++ {
			w := (r & 0xffff) * n >> 16
			r >>= 16
			copy(body[i:i+textSlot], c.words[w][:])
			i += c.lens[w]
		}
	}
	for ; i < len(body); i++ {
		body[i] = ' '
	}
}

const wordList = `
the and that with from which their there would about other could after these
first water where right think three place world still again number people story
write sound light great small every found between country plant school father
tree never start city earth eye thought head under saw left few while along
might close something seem next hard open example begin life always those both
paper together got group often run important until children side feet car mile
night walk white sea began grow took river four carry state once book hear stop
without second later miss idea enough eat face watch far really almost let above
girl sometimes mountain cut young talk soon list song being leave family body
music color stand sun question fish area mark dog horse bird problem complete
room knew since ever piece told usually friend easy heard order red door sure
become top ship across today during short better best however low hour black
product happen whole measure remember early wave reach listen wind rock space
cover fast several hold himself toward five step morning pass vowel true hundred
against pattern numeral table north slow money map farm pull draw voice cold cry
plan notice south sing war ground fall king town unit figure certain field travel
wood fire upon machine memory network storage server account service ticket
record transfer connect migrate host cluster domain directory delegate principal
`
