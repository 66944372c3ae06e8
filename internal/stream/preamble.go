package stream

import (
	"fmt"
	"io"
	"strconv"

	"drover/internal/fault"
)

// Version is the version of everything that follows the preamble.
const Version = 1

const (
	magic        = "DROVER"
	preambleSize = len(magic) + 2
)

// Kind says what a connection carries.
type Kind uint8

// The kinds of connections. The numbers are on the wire.
const (
	KindControl Kind = 1
	KindMemory  Kind = 2
	KindDisk    Kind = 3
	KindProbe   Kind = 4 // measures the link; its data mean nothing and are not kept
)

func (k Kind) String() string {
	switch k {
	case KindControl:
		return "control"
	case KindMemory:
		return "memory"
	case KindDisk:
		return "disk"
	case KindProbe:
		return "probe"
	}
	return "kind " + strconv.Itoa(int(k))
}

// MarshalText gives the name, for JSON.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the name.
func (k *Kind) UnmarshalText(b []byte) error {
	for _, c := range []Kind{KindControl, KindMemory, KindDisk, KindProbe} {
		if c.String() == string(b) {
			*k = c
			return nil
		}
	}
	return fmt.Errorf("no kind of stream is called %q", b)
}

// reply is the last byte of the listener's preamble.
type reply uint8

const (
	replyOK      reply = 0
	replyVersion reply = 1 // the listener speaks another version, the one it names
	replyKind    reply = 2 // the listener knows no such kind
)

// preamble is what either side sends first: magic, version, and one byte that
// is the kind (opener) or the reply (listener). Its layout never changes, so
// that any two versions can tell each other apart.
type preamble struct {
	version uint8
	last    uint8
}

func (p preamble) bytes() []byte { return append([]byte(magic), p.version, p.last) }

func readPreamble(r io.Reader) (preamble, error) {
	var b [preambleSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return preamble{}, midFrame(err)
	}
	if string(b[:len(magic)]) != magic {
		return preamble{}, violation("no preamble of Drover")
	}
	return preamble{version: b[len(magic)], last: b[len(magic)+1]}, nil
}

// offerPreamble is the opener's part.
func offerPreamble(rw io.ReadWriter, kind Kind, who names) error {
	if _, err := rw.Write(preamble{Version, uint8(kind)}.bytes()); err != nil {
		return err
	}
	p, err := readPreamble(rw)
	if err != nil {
		return err
	}
	switch {
	case reply(p.last) == replyVersion:
		return fault.New(fault.AgentTooOld, who.host, "have", strconv.Itoa(Version),
			"peer", who.peer, "want", strconv.Itoa(int(p.version)))
	case reply(p.last) == replyKind:
		return violationf("the peer does not know %s connections", kind)
	case reply(p.last) != replyOK || p.version != Version:
		return violationf("preamble with version %d and reply %d", p.version, p.last)
	}
	return nil
}

// answerPreamble is the listener's part; it gives the kind that the opener wants.
func answerPreamble(rw io.ReadWriter, who names) (Kind, error) {
	p, err := readPreamble(rw)
	if err != nil {
		return 0, err
	}
	kind, answer := Kind(p.last), replyOK
	switch {
	case p.version != Version:
		answer = replyVersion
		err = fault.New(fault.AgentTooOld, who.host, "have", strconv.Itoa(Version),
			"peer", who.peer, "want", strconv.Itoa(int(p.version)))
	case kind < KindControl || kind > KindProbe:
		answer = replyKind
		err = violationf("preamble with unknown kind %d", p.last)
	}
	if _, werr := rw.Write(preamble{Version, uint8(answer)}.bytes()); err == nil {
		err = werr
	}
	return kind, err
}
