package nbd

import "encoding/binary"

// client follows what a client sends, piece by piece. Its bytes alone tell the
// phases apart: an option begins with "IHAVEOPT", a request with a magic number
// of its own.
type client struct {
	at phase
	// The header that is being gathered has need bytes, of which have are there.
	// The one before stays in head until then: got bytes.
	head            [extendedLen]byte
	have, need, got int
	// What follows the header: so many bytes, and for a write where on the disk the
	// next one belongs.
	left   uint64
	offset uint64
	length uint64 // of the request's range

	extended  bool // the client asked for extended headers
	named     bool // it ended the negotiation with NBD_OPT_EXPORT_NAME
	requestOf int  // length of the requests' headers; 0 before the first
}

type phase uint8

const (
	inFlags   phase = iota // the client's flags, which it sends first
	inMagic                // the first bytes of an option or a request
	inOption               // the rest of its header
	inRequest              // the rest of its header
	inData                 // what follows, but for
	inPayload              // that of a write
	lost                   // not understood, for good
)

func newClient() client { return client{at: inFlags, need: clientFlagsLen} }

// gather takes bytes of a header from b and tells how many, and whether the
// header is complete. It is then in head[:got], and at says what follows.
func (c *client) gather(b []byte) (n int, complete bool) {
	for n < len(b) && !complete {
		k := copy(c.head[c.have:c.need], b[n:])
		n, c.have = n+k, c.have+k
		if c.have < c.need {
			break
		}
		complete = c.step()
	}
	return n, complete
}

// step makes something of the bytes of the header that are there, and tells
// whether they are all.
func (c *client) step() bool {
	switch c.at {
	case inFlags:
		if binary.BigEndian.Uint32(c.head[:])&^clientFlags != 0 { // oldstyle, or nothing of ours
			return c.end(lost)
		}
		return c.end(inMagic)
	case inMagic:
		return c.magic()
	case inOption:
		return c.option()
	default:
		return c.request()
	}
}

func (c *client) magic() bool {
	switch magic := binary.BigEndian.Uint32(c.head[:]); {
	case magic == optionMagic>>32 && c.requestOf == 0 && !c.named:
		c.at, c.need = inOption, optionLen
	case magic == requestMagic && c.requestOf != extendedLen:
		c.at, c.need, c.requestOf = inRequest, requestLen, requestLen
	case magic == extendedMagic && c.requestOf != requestLen && c.extended:
		c.at, c.need, c.requestOf = inRequest, extendedLen, extendedLen
	default:
		return c.end(lost)
	}
	return false
}

func (c *client) option() bool {
	if binary.BigEndian.Uint64(c.head[:]) != optionMagic {
		return c.end(lost)
	}
	switch binary.BigEndian.Uint32(c.head[8:]) {
	case optStartTLS:
		return c.end(lost)
	case optExportName:
		c.named = true
	case optExtendedHeaders:
		c.extended = true
	}
	c.left = uint64(binary.BigEndian.Uint32(c.head[12:]))
	return c.end(inData)
}

func (c *client) request() bool {
	command := c.command()
	c.offset = binary.BigEndian.Uint64(c.head[16:])
	payload := command == cmdWrite
	if c.need == extendedLen {
		c.length = binary.BigEndian.Uint64(c.head[24:])
		// QEMU's client does not set the flag on writes, and its server does not ask.
		payload = payload || c.flags()&flagPayloadLen != 0
	} else {
		c.length = uint64(binary.BigEndian.Uint32(c.head[24:]))
	}
	c.left = c.length
	switch {
	case command > cmdLast || payload && c.left >= 1<<32: // payloads have no more ("Extended headers")
		return c.end(lost)
	case !payload:
		c.left = 0
		return c.end(inData)
	case command == cmdWrite:
		return c.end(inPayload)
	}
	return c.end(inData)
}

// end ends the header, after which comes what next says.
func (c *client) end(next phase) bool {
	c.at, c.got, c.have, c.need = next, c.have, 0, magicLen
	if (next == inData || next == inPayload) && c.left == 0 {
		c.at = inMagic
	}
	return true
}

// took tells of n bytes of what follows a header, of which there are left.
func (c *client) took(n int) {
	c.left -= uint64(n)
	c.offset += uint64(n)
	if c.left == 0 {
		c.at = inMagic
	}
}

// within is how many of n bytes belong to what follows the header.
func (c *client) within(n int) int { return int(min(uint64(n), c.left)) }

// flags and command are those of the request in head.
func (c *client) flags() uint16   { return binary.BigEndian.Uint16(c.head[4:]) }
func (c *client) command() uint16 { return binary.BigEndian.Uint16(c.head[6:]) }
