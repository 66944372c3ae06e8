// Package nbd understands what QEMU's client of a network block device sends
// while a disk is copied: where the data are (Scanner), and which of them are
// nothing but zeros (Sparse).
//
// The protocol is that of NetworkBlockDevice/nbd, doc/proto.md, of which this
// package knows the fixed newstyle negotiation ("Fixed newstyle negotiation"),
// requests with the compact header of 28 bytes ("Request message"), and those with
// the extended header of 32 bytes (NBD_OPT_EXTENDED_HEADERS, which QEMU has since
// 8.2). A connection with anything else, such as TLS inside, is carried as it is.
package nbd

// PageSize is that of the pages that a Scanner finds, in bytes.
const PageSize = 4096

// Numbers of the protocol ("Values" and "Protocol phases").
const (
	serverMagic = 0x4e42444d41474943 // "NBDMAGIC", what a server says first
	optionMagic = 0x49484156454F5054 // "IHAVEOPT"

	replyMagic    = 0x0003e889045565a9 // of replies to options
	requestMagic  = 0x25609513
	extendedMagic = 0x21e41c71

	flagFixedNewstyle = 1 << 0 // handshake flags
	clientFlags       = 1<<0 | 1<<1

	optExportName      = 1
	optStartTLS        = 5
	optGo              = 7
	optExtendedHeaders = 11

	repAck   = 1
	repInfo  = 3
	repError = 1 << 31

	infoExport    = 0
	infoBlockSize = 3

	flagSendTrim        = 1 << 5 // transmission flags
	flagSendWriteZeroes = 1 << 6

	cmdWrite       = 1
	cmdTrim        = 4
	cmdWriteZeroes = 6
	cmdLast        = 8 // NBD_CMD_RESIZE; none is known beyond it

	flagFUA        = 1 << 0 // command flags
	flagNoHole     = 1 << 1
	flagPayloadLen = 1 << 5

	clientFlagsLen = 4
	magicLen       = 4
	optionLen      = 16
	requestLen     = 28
	extendedLen    = 32
)
