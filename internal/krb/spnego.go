package krb

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
)

// Tags of RFC 4178 4.2.
const (
	tagNegInit = 0xa0
	tagNegResp = 0xa1
	tagSeq     = 0x30
	tagOctets  = 0x04
)

// NegTokenInit wraps the token of Initiate for HTTP Negotiate (RFC 4178 4.2.1,
// RFC 4559): the mechanism list names Kerberos only.
func NegTokenInit(token []byte) []byte {
	mechs := derWrap(0xa0, derWrap(tagSeq, oidKRB5))
	mech := derWrap(0xa2, derWrap(tagOctets, token))
	init := derWrap(tagNegInit, derWrap(tagSeq, append(mechs, mech...)))
	return derWrap(0x60, append(bytes.Clone(oidSPNEGO), init...))
}

// negTokenResp says accept-completed and carries the mechanism's reply.
func negTokenResp(reply []byte) []byte {
	b := derWrap(0xa0, []byte{0x0a, 1, 0}) // negState accept-completed
	b = append(b, derWrap(0xa1, oidKRB5)...)
	if len(reply) > 0 {
		b = append(b, derWrap(0xa2, derWrap(tagOctets, reply))...)
	}
	return derWrap(tagNegResp, derWrap(tagSeq, b))
}

// spnegoInit finds the Kerberos token in an initiator's first token. wrapped says
// that it came in SPNEGO, so the reply must go in SPNEGO too.
func spnegoInit(tok []byte) (mech []byte, wrapped bool, err error) {
	in, rest, err := derExpect(tok, 0x60)
	if err != nil || len(rest) != 0 {
		return nil, false, errors.Join(errToken, err)
	}
	in, wrapped = bytes.CutPrefix(in, oidSPNEGO)
	if !wrapped {
		return tok, false, nil
	}
	fields, err := negFields(in, tagNegInit)
	if err != nil {
		return nil, true, err
	}
	list, _, err := derExpect(fields[0], tagSeq)
	if err != nil {
		return nil, true, err
	}
	if !bytes.HasPrefix(list, oidKRB5) && !bytes.HasPrefix(list, oidMSKRB5) {
		// The optimistic token is for the first mechanism of the list.
		return nil, true, fmt.Errorf("the client prefers another mechanism than Kerberos (%s)", mechName(list))
	}
	mech, _, err = derExpect(fields[2], tagOctets)
	return mech, true, err
}

// spnegoReply finds the Kerberos token in an acceptor's reply, raw or wrapped.
func spnegoReply(tok []byte) ([]byte, error) {
	if len(tok) == 0 || tok[0] != tagNegResp {
		return tok, nil
	}
	fields, err := negFields(tok, tagNegResp)
	if err != nil {
		return nil, err
	}
	if state := fields[0]; len(state) > 0 && !bytes.Equal(state, []byte{0x0a, 1, 0}) {
		return nil, fmt.Errorf("SPNEGO state %x is not accept-completed", state)
	}
	mech, _, err := derExpect(fields[2], tagOctets)
	return mech, err
}

// negFields splits a NegTokenInit or NegTokenResp into its context-tagged fields.
func negFields(b []byte, tag byte) (fields [4][]byte, err error) {
	b, _, err = derExpect(b, tag)
	if err != nil {
		return fields, err
	}
	if b, _, err = derExpect(b, tagSeq); err != nil {
		return fields, err
	}
	for len(b) > 0 {
		var t byte
		var v []byte
		if t, v, b, err = derNext(b); err != nil {
			return fields, err
		}
		if t < 0xa0 || t > 0xa3 {
			return fields, errToken
		}
		fields[t-0xa0] = v
	}
	return fields, nil
}

// mechName is the first mechanism of a list, for a message.
func mechName(list []byte) string {
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(list, &oid); err != nil {
		return "unknown"
	}
	return oid.String()
}
