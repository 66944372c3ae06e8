package krb

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/go-krb5/krb5/iana/keyusage"
)

// Wrap signs and seals p (RFC 4121 4.2.6.2).
func (c *Context) Wrap(p []byte) ([]byte, error) { return c.wrap(p, true) }

// wrap without seal is what the last step of a SASL bind uses.
func (c *Context) wrap(p []byte, seal bool) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.established {
		return nil, errNotEstablished
	}
	et, err := cipherOf(c.key)
	if err != nil {
		return nil, err
	}
	var extra byte
	if seal {
		extra = flagSealed
	}
	h := c.header(5, 4, extra, 0)
	usage := c.usage(true, keyusage.GSSAPI_INITIATOR_SEAL, keyusage.GSSAPI_ACCEPTOR_SEAL)
	msg := append(bytes.Clone(p), h...)
	if seal {
		_, ct, err := et.EncryptMessage(c.key.KeyValue, msg, usage)
		return append(h, ct...), err
	}
	ck, err := et.GetChecksumHash(c.key.KeyValue, msg, usage)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint16(h[4:], uint16(len(ck)))
	return append(append(h, p...), ck...), nil
}

// Unwrap opens a sealed token of the peer. A token that was sent before one that
// is already open (a replay, a reordering) is refused.
func (c *Context) Unwrap(token []byte) ([]byte, error) { return c.unwrap(token, true) }

func (c *Context) unwrap(t []byte, sealed bool) (p []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.established {
		return nil, errNotEstablished
	}
	if len(t) < 17 || t[0] != 5 || t[1] != 4 || t[3] != 0xff {
		return nil, fmt.Errorf("wrap: %w", errToken)
	}
	if err := c.checkFlags(t[2]); err != nil {
		return nil, err
	}
	if sealed && t[2]&flagSealed == 0 {
		return nil, fmt.Errorf("wrap token is not sealed: %w", errToken)
	}
	seq := binary.BigEndian.Uint64(t[8:])
	if seq < c.recvSeq {
		return nil, fmt.Errorf("wrap token %d comes again: %w", seq, errToken)
	}
	if t[2]&flagSealed != 0 {
		p, err = c.unseal(t)
	} else {
		p, err = c.unsign(t)
	}
	if err == nil {
		c.recvSeq = seq + 1
	}
	return p, err
}

// unrotate undoes the right rotation by RRC (RFC 4121 4.2.5).
func unrotate(t []byte) (header, body []byte, ec int) {
	header, body = bytes.Clone(t[:16]), t[16:]
	ec = int(binary.BigEndian.Uint16(header[4:]))
	r := int(binary.BigEndian.Uint16(header[6:])) % len(body)
	header[6], header[7] = 0, 0
	return header, append(bytes.Clone(body[r:]), body[:r]...), ec
}

func (c *Context) unseal(t []byte) ([]byte, error) {
	h, body, ec := unrotate(t)
	plain, err := decrypt(c.key, body, c.usage(false, keyusage.GSSAPI_INITIATOR_SEAL, keyusage.GSSAPI_ACCEPTOR_SEAL))
	if err != nil {
		return nil, err
	}
	if len(plain) < 16+ec || !bytes.Equal(plain[len(plain)-16:], h) {
		return nil, fmt.Errorf("wrap header: %w", errToken)
	}
	return plain[:len(plain)-16-ec], nil
}

func (c *Context) unsign(t []byte) ([]byte, error) {
	h, body, ec := unrotate(t)
	et, err := cipherOf(c.key)
	if err != nil {
		return nil, err
	}
	if ec != et.GetHMACBitLength()/8 || len(body) < ec {
		return nil, fmt.Errorf("wrap checksum: %w", errToken)
	}
	h[4], h[5] = 0, 0
	p, ck := body[:len(body)-ec], body[len(body)-ec:]
	usage := c.usage(false, keyusage.GSSAPI_INITIATOR_SEAL, keyusage.GSSAPI_ACCEPTOR_SEAL)
	if !et.VerifyChecksum(c.key.KeyValue, append(bytes.Clone(p), h...), ck, usage) {
		return nil, errMIC
	}
	return bytes.Clone(p), nil
}
