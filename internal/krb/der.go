package krb

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"

	krbasn1 "github.com/go-krb5/x/encoding/asn1"

	"github.com/go-krb5/krb5/asn1tools"
	"github.com/go-krb5/krb5/iana/asn1apptag"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"
)

// Mechanisms, as whole DER object identifiers.
var (
	oidKRB5   = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02}
	oidMSKRB5 = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02} // Microsoft's misprint, still offered by Windows
	oidSPNEGO = []byte{0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02}
)

// Token identifiers of RFC 4121 4.1.
const (
	tokAPReq uint16 = 0x0100
	tokAPRep uint16 = 0x0200
	tokError uint16 = 0x0300
)

var errToken = errors.New("malformed token")

// derWrap puts a tag and a definite length before body.
func derWrap(tag byte, body []byte) []byte {
	var l []byte
	n := len(body)
	if n < 0x80 {
		l = []byte{byte(n)}
	} else {
		for ; n > 0; n >>= 8 {
			l = append([]byte{byte(n)}, l...)
		}
		l = append([]byte{0x80 | byte(len(l))}, l...)
	}
	return append(append([]byte{tag}, l...), body...)
}

// derNext takes one element off b. Lengths are checked against what is there.
func derNext(b []byte) (tag byte, body, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, nil, errToken
	}
	tag, n, off := b[0], int(b[1]), 2
	if n >= 0x80 {
		k := n & 0x7f
		if k == 0 || k > 3 || len(b) < 2+k {
			return 0, nil, nil, errToken
		}
		n, off = 0, 2+k
		for _, c := range b[2 : 2+k] {
			n = n<<8 | int(c)
		}
	}
	if len(b)-off < n {
		return 0, nil, nil, errToken
	}
	return tag, b[off : off+n], b[off+n:], nil
}

// derExpect is derNext for an element that must have the given tag.
func derExpect(b []byte, want byte) (body, rest []byte, err error) {
	tag, body, rest, err := derNext(b)
	if err != nil {
		return nil, nil, err
	}
	if tag != want {
		return nil, nil, fmt.Errorf("element %#02x instead of %#02x: %w", tag, want, errToken)
	}
	return body, rest, nil
}

// gssFrame makes an initial context token of RFC 2743 3.1.
func gssFrame(id uint16, body []byte) []byte {
	in := append(bytes.Clone(oidKRB5), byte(id>>8), byte(id))
	return derWrap(0x60, append(in, body...))
}

// gssUnframe opens what gssFrame makes.
func gssUnframe(tok []byte) (id uint16, body []byte, err error) {
	in, rest, err := derExpect(tok, 0x60)
	if err != nil {
		return 0, nil, err
	}
	if len(rest) != 0 {
		return 0, nil, fmt.Errorf("bytes after the token: %w", errToken)
	}
	in, ok := bytes.CutPrefix(in, oidKRB5)
	if !ok || len(in) < 2 {
		return 0, nil, fmt.Errorf("not a Kerberos token: %w", errToken)
	}
	return uint16(in[0])<<8 | uint16(in[1]), in[2:], nil
}

func derMarshal(v any) ([]byte, error) {
	return krbasn1.Marshal(v, krbasn1.WithMarshalSlicePreserveTypes(true), krbasn1.WithMarshalSliceAllowStrings(true))
}

func derMarshalApp(v any, tag int) ([]byte, error) {
	b, err := derMarshal(v)
	if err != nil {
		return nil, err
	}
	return asn1tools.AddASNAppTag(b, tag), nil
}

func derUnmarshalApp(b []byte, v any, tag int) error {
	return derUnmarshalParams(b, v, fmt.Sprintf("application,explicit,tag:%d", tag))
}

func derUnmarshalParams(b []byte, v any, params string) error {
	rest, err := krbasn1.UnmarshalWithParams(b, v, params, krbasn1.WithUnmarshalAllowTypeGeneralString(true))
	if err == nil && len(rest) > 0 {
		err = errToken
	}
	return err
}

// guard runs a parser and turns its panic into an error. The library's parsers
// index without checking; every hostile input found so far is refused before it
// reaches them, this is for the next one.
func guard(what string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: parser panic: %w", what, errToken)
		}
	}()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// parseAPReq opens KRB_AP_REQ (RFC 4120 5.5.1) and checks what the library
// takes for granted.
func parseAPReq(b []byte) (req messages.APReq, err error) {
	err = guard("AP-REQ", func() error {
		if err := req.Unmarshal(b); err != nil {
			return err
		}
		t := &req.Ticket
		switch {
		case req.PVNO != 5 || t.TktVNO != 5:
			return fmt.Errorf("protocol version: %w", errToken)
		case len(t.SName.NameString) == 0:
			return fmt.Errorf("empty service name: %w", errToken)
		case !isAES(t.EncPart.EType):
			return fmt.Errorf("ticket has encryption type %d, only AES is accepted", t.EncPart.EType)
		case len(t.EncPart.Cipher) < minCipher || len(req.EncryptedAuthenticator.Cipher) < minCipher:
			return fmt.Errorf("short ciphertext: %w", errToken)
		}
		return nil
	})
	return req, err
}

// wireTicket is t as it came, without what was learned by decrypting it: the
// library marshals the decrypted part too once it is filled, session key
// included.
func wireTicket(t messages.Ticket) messages.Ticket {
	t.DecryptedEncPart = messages.EncTicketPart{}
	t.EncPart.Cipher = bytes.Clone(t.EncPart.Cipher)
	return t
}

// ticketFlag reads one bit of a ticket's flags, which may be shorter than the
// library expects.
func ticketFlag(f asn1BitString, bit int) bool {
	return bit/8 < len(f.Bytes) && f.Bytes[bit/8]&(0x80>>(bit%8)) != 0
}

type asn1BitString = krbasn1.BitString

// encAPRepPart is EncAPRepPart (RFC 4120 5.5.2); the library's cannot be marshalled.
type encAPRepPart struct {
	CTime  krbTime             `asn1:"generalized,explicit,tag:0"`
	Cusec  int                 `asn1:"explicit,tag:1"`
	Subkey types.EncryptionKey `asn1:"optional,explicit,tag:2"`
	Seq    int64               `asn1:"optional,explicit,tag:3"`
}

const appAPRep, appEncAPRep = asn1apptag.APREP, asn1apptag.EncAPRepPart

// ntStatus finds the NTSTATUS that Windows puts into e-data (MS-KILE 2.2.1:
// KERB-ERROR-DATA of type 3 holding KERB_EXT_ERROR); 0 if there is none.
func ntStatus(edata []byte) uint32 {
	var d struct {
		Type  int    `asn1:"explicit,tag:1"`
		Value []byte `asn1:"explicit,optional,tag:2"`
	}
	if _, err := asn1.Unmarshal(edata, &d); err != nil || d.Type != 3 || len(d.Value) < 4 {
		return 0
	}
	v := d.Value
	return uint32(v[0]) | uint32(v[1])<<8 | uint32(v[2])<<16 | uint32(v[3])<<24
}
