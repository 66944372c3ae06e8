package stream

// Codec turns the payload blocks of a memory stream into what travels. Its ID
// stands in the flags of every DATA frame, so the sender may change codecs
// between any two blocks, and the receiver needs no agreement beforehand.
type Codec interface {
	// Name is the codec's name where agents agree on it: wire.HostFacts.Codecs.
	Name() string
	// ID is the codec's number on the wire.
	ID() uint8
	// Encode appends the coded form of block to dst, which has room for MaxData
	// bytes. The result must not be longer than that.
	Encode(dst, block []byte) ([]byte, error)
	// Decode appends the block that Encode was given to dst, under the same limit.
	Decode(dst, coded []byte) ([]byte, error)
}

// TCPIP is the performance option without compression: blocks travel as they
// are. Streams start with it, and disks never leave it.
var TCPIP Codec = tcpip{}

type tcpip struct{}

func (tcpip) Name() string                             { return "TCPIP" }
func (tcpip) ID() uint8                                { return 0 }
func (tcpip) Encode(dst, block []byte) ([]byte, error) { return append(dst, block...), nil }
func (tcpip) Decode(dst, coded []byte) ([]byte, error) { return append(dst, coded...), nil }

// decoders are the codecs that this build can receive.
func decoders() map[uint8]Codec {
	return map[uint8]Codec{TCPIP.ID(): TCPIP, Compression.ID(): Compression}
}

// CodecNames are the names of the codecs that this build can receive, but for the
// one that does nothing.
func CodecNames() []string { return []string{Compression.Name()} }
