package stream

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"drover/internal/fault"
)

// frameType is the first byte of every frame.
type frameType uint8

const (
	frameData    frameType = 1  // payload of a data stream; flags name the codec
	frameEOF     frameType = 2  // no more data in this direction
	frameDone    frameType = 3  // both directions have ended; nothing follows
	framePing    frameType = 4  // life sign
	frameReset   frameType = 5  // fault.Problem as JSON; nothing follows
	frameToken   frameType = 6  // authentication token of a control connection
	frameMessage frameType = 7  // JSON message of a control connection
	frameHello   frameType = 8  // claim of a data stream to a session
	frameWelcome frameType = 9  // the listener's proof that it knows the session
	frameGo      frameType = 10 // the last frame inside TLS, or the first one outside
)

// Sizes in bytes. A whole DATA frame is 256 KiB, header included, which is
// exactly 16 full TLS records.
const (
	headerSize = 8
	frameSize  = 256 << 10
	// MaxData is the largest payload of a DATA frame.
	MaxData = frameSize - headerSize
	// MaxToken is the largest authentication token.
	MaxToken = 64 << 10
	// MaxMessage is the largest JSON message of a control connection.
	MaxMessage = 8 << 20
	maxReset   = 64 << 10
)

// header is the fixed start of a frame: type u8, flags u8, reserved u16 (zero),
// payload length u32, big endian.
type header struct {
	typ    frameType
	flags  uint8
	length int
}

// violation is something the protocol does not allow. The link turns it into
// the fault protocol-error, which names the hosts.
type violation string

func (v violation) Error() string { return string(v) }

func violationf(format string, args ...any) violation {
	return violation(fmt.Sprintf(format, args...))
}

func (h header) put(b []byte) {
	_ = b[headerSize-1]
	b[0], b[1], b[2], b[3] = byte(h.typ), h.flags, 0, 0
	binary.BigEndian.PutUint32(b[4:], uint32(h.length))
}

// limit is the largest payload that frames of type t may have; ok is false for
// a type that does not exist.
func (t frameType) limit() (n int, ok bool) {
	switch t {
	case frameData:
		return MaxData, true
	case frameEOF, frameDone, framePing, frameGo:
		return 0, true
	case frameReset:
		return maxReset, true
	case frameToken:
		return MaxToken, true
	case frameMessage:
		return MaxMessage, true
	case frameHello:
		return helloSize, true
	case frameWelcome:
		return welcomeSize, true
	}
	return 0, false
}

// parseHeader checks everything that can be checked without knowing the state
// of the connection, before any byte of the payload is read.
func parseHeader(b []byte) (header, error) {
	h := header{typ: frameType(b[0]), flags: b[1]}
	length := binary.BigEndian.Uint32(b[4:headerSize])
	limit, ok := h.typ.limit()
	switch {
	case !ok:
		return h, violationf("frame of unknown type %d", b[0])
	case b[2] != 0 || b[3] != 0:
		return h, violation("frame with reserved bits set")
	case h.flags != 0 && h.typ != frameData:
		return h, violationf("flags %#x on a frame of type %d", h.flags, b[0])
	case uint64(length) > uint64(limit):
		return h, violationf("frame of type %d with %d bytes, %d are allowed", b[0], length, limit)
	case length == 0 && h.typ == frameData:
		return h, violation("empty data frame")
	}
	h.length = int(length)
	return h, nil
}

// readHeader reads and checks one header. io.EOF means that the connection
// ended between frames; in the middle of one it is io.ErrUnexpectedEOF.
func readHeader(r io.Reader) (header, error) {
	return readHeaderInto(r, make([]byte, headerSize))
}

// readHeaderInto is readHeader with room for the header, for many of them.
func readHeaderInto(r io.Reader, b []byte) (header, error) {
	if _, err := io.ReadFull(r, b); err != nil {
		return header{}, err
	}
	return parseHeader(b)
}

// readPayload reads n bytes into new memory, which grows with what arrives, not
// with what the header announces.
func readPayload(r io.Reader, n int) ([]byte, error) {
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, midFrame(err)
	}
	return b.Bytes(), nil
}

// midFrame makes the end of the connection within a frame visible as such.
func midFrame(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// writeFrame sends one frame in one Write.
func writeFrame(w io.Writer, typ frameType, payload []byte) error {
	b := make([]byte, headerSize+len(payload))
	header{typ: typ, length: len(payload)}.put(b)
	copy(b[headerSize:], payload)
	_, err := w.Write(b)
	return err
}

// expectFrame reads one frame that must have type want. A RESET gives the
// peer's own error.
func expectFrame(r io.Reader, want frameType) ([]byte, error) {
	h, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	if h.typ != want && h.typ != frameReset {
		return nil, violationf("frame of type %d instead of %d", h.typ, want)
	}
	p, err := readPayload(r, h.length)
	if err != nil {
		return nil, err
	}
	if h.typ == frameReset {
		return nil, parseReset(p)
	}
	return p, nil
}

// resetPayload is err as it travels. An error whose text is too long for a frame
// keeps its code and loses its cause.
func resetPayload(err error) []byte {
	p := fault.ToProblem(err)
	b, jerr := json.Marshal(p)
	if jerr == nil && len(b) <= maxReset {
		return b
	}
	b, _ = json.Marshal(&fault.Problem{Code: p.Code, Status: p.Status, Title: p.Title})
	return b
}

// parseReset is the error that a RESET frame carries, never nil.
func parseReset(b []byte) error {
	var p fault.Problem
	if err := json.Unmarshal(b, &p); err != nil || p.Code == "" {
		return violation("RESET without a problem")
	}
	return p.Tame().Err()
}
