package plan

import (
	"fmt"
	"slices"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/internal/wire"
)

// Carriage is how the data streams of a move are carried, as the two hosts agree.
type Carriage struct {
	Performance settings.Performance // TCPIP or Compression
	Plain       bool                 // the data streams are unencrypted
	Bandwidth   settings.Rate        // of this move, 0: as the hosts' settings
}

// Transport agrees on it from the request, the source's settings and what the
// destination said of itself. notes tell what is otherwise than asked for;
// "not-available" is the code of what Drover does not do yet.
func Transport(host string, req record.Request, own settings.Settings, dst wire.HostFacts) (c Carriage, notes []string, err error) {
	c = Carriage{Performance: own.Performance, Plain: own.Encryption.Plain() && dst.Plain, Bandwidth: req.Bandwidth}
	if req.Performance != "" {
		c.Performance = req.Performance
	}
	switch {
	case own.Authentication == settings.CredSSP:
		return c, nil, fault.New(fault.NotAvailable, host, "what", "authentication type CredSSP", "instead", "drover host set --authentication Kerberos")
	case c.Performance == settings.SMB:
		return c, nil, fault.New(fault.NotAvailable, host, "what", "performance option SMB", "instead", "drover host set --performance Compression")
	}
	if c.Performance == settings.Compression && !decodes(dst) {
		c.Performance = settings.TCPIP
		notes = append(notes, fmt.Sprintf("%s cannot decompress, so memory goes uncompressed", dst.Host))
	}
	return c, notes, nil
}

// Codecs is what Compression is made of, as a destination names what it can
// decode: it must have all of it.
func Codecs() []string { return []string{CodecName, "s2", "fold"} }

// CodecName is that one of them that makes the most of memory on its way.
const CodecName = "zstd"

// decodes tells whether a destination takes what Compression makes.
func decodes(dst wire.HostFacts) bool {
	return !slices.ContainsFunc(Codecs(), func(c string) bool { return !slices.Contains(dst.Codecs, c) })
}

// Codec names the codec of a plan.
func (c Carriage) Codec() string {
	if c.Performance == settings.Compression {
		return "Compression (adaptive: none, s2, zstd; pages)"
	}
	return CodecTCPIP
}
