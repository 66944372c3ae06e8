package plan

import (
	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/internal/wire"
)

// Carriage is how the data streams of a move are carried, as the two hosts agree.
type Carriage struct {
	Performance settings.Performance // TCPIP or Compression
	Plain       bool                 // unencrypted
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
	return c, nil, nil
}
