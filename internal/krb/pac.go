package krb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"drover/internal/spn"

	"github.com/go-krb5/krb5/crypto"
	"github.com/go-krb5/krb5/iana/adtype"
	"github.com/go-krb5/krb5/iana/keyusage"
	"github.com/go-krb5/krb5/types"
)

// PAC buffer types (MS-PAC 2.4).
const (
	pacLogonInfo       = 1
	pacServerSignature = 6
	pacKDCSignature    = 7
	pacClientInfo      = 10
	pacDelegationInfo  = 11
)

const (
	maxPAC     = 1 << 20
	maxBuffers = 64
)

var (
	errPAC   = errors.New("malformed PAC")
	errNoPAC = errors.New("the ticket carries no PAC, so there are no groups to authorise by")
)

// pac is what a PAC says about a client.
type pac struct {
	userSID     string
	groups      []string
	name        string    // PAC_CLIENT_INFO: the client's name in the ticket
	authTime    time.Time // PAC_CLIENT_INFO: the ticket's authtime
	delegated   bool
	delegatedBy string
	proxyTarget string
}

// findPAC looks for AD-WIN2K-PAC inside AD-IF-RELEVANT (MS-KILE 3.2.5.7).
func findPAC(ads types.AuthorizationData) ([]byte, error) {
	for _, ad := range ads {
		if ad.ADType != adtype.ADIfRelevant {
			continue
		}
		var inner types.AuthorizationData
		if err := guard("authorization data", func() error { return inner.Unmarshal(ad.ADData) }); err != nil {
			return nil, err
		}
		for _, in := range inner {
			if in.ADType == adtype.ADWin2KPAC {
				return in.ADData, nil
			}
		}
	}
	return nil, errNoPAC
}

// parsePAC verifies the server signature with the service's key and then reads
// the buffers. Nothing of an unsigned PAC is looked at but its table of contents.
func parsePAC(b []byte, key types.EncryptionKey) (*pac, error) {
	bufs, err := pacBuffers(b)
	if err != nil {
		return nil, err
	}
	if err := verifyPAC(b, bufs, key); err != nil {
		return nil, err
	}
	p := &pac{}
	for _, r := range []struct {
		id       uint32
		required bool
		read     func(*pac, []byte) error
	}{
		{pacLogonInfo, true, (*pac).readLogonInfo},
		{pacClientInfo, true, (*pac).readClientInfo},
		{pacDelegationInfo, false, (*pac).readDelegationInfo},
	} {
		buf, ok := bufs[r.id]
		if !ok && r.required {
			return nil, fmt.Errorf("buffer %d is missing: %w", r.id, errPAC)
		}
		if !ok {
			continue
		}
		if err := r.read(p, buf); err != nil {
			return nil, fmt.Errorf("buffer %d: %w", r.id, err)
		}
	}
	return p, nil
}

// pacBuffers reads PACTYPE (MS-PAC 2.3). The slices point into b. A type that
// occurs twice is refused rather than the first or the last one taken.
func pacBuffers(b []byte) (map[uint32][]byte, error) {
	if len(b) < 8 || len(b) > maxPAC {
		return nil, errPAC
	}
	n, version := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	if version != 0 || n > maxBuffers || len(b) < 8+16*int(n) {
		return nil, errPAC
	}
	bufs := make(map[uint32][]byte, n)
	for i := range int(n) {
		e := b[8+16*i:]
		id, size, off := binary.LittleEndian.Uint32(e), uint64(binary.LittleEndian.Uint32(e[4:])), binary.LittleEndian.Uint64(e[8:])
		if _, dup := bufs[id]; dup || off > uint64(len(b)) || size > uint64(len(b))-off {
			return nil, errPAC
		}
		bufs[id] = b[off : off+size : off+size]
	}
	return bufs, nil
}

// verifyPAC checks the server signature (MS-PAC 2.8.1): key usage 17 over the
// whole PAC with the server's and the KDC's signature zeroed.
func verifyPAC(b []byte, bufs map[uint32][]byte, key types.EncryptionKey) error {
	server, kdc := bufs[pacServerSignature], bufs[pacKDCSignature]
	if len(server) < 4 || len(kdc) < 4 {
		return fmt.Errorf("signature is missing: %w", errPAC)
	}
	et, err := cipherOf(key)
	if err != nil {
		return err
	}
	if int32(binary.LittleEndian.Uint32(server)) != et.GetHashID() {
		return fmt.Errorf("PAC signature of a type that is not the key's: %w", errPAC)
	}
	size := et.GetHMACBitLength() / 8
	if len(server) < 4+size {
		return errPAC
	}
	sig := bytes.Clone(server[4 : 4+size])
	kdcSize, err := signatureSize(kdc)
	if err != nil {
		return err
	}
	z := bytes.Clone(b)
	zbufs, err := pacBuffers(z)
	if err != nil {
		return err
	}
	clear(zbufs[pacServerSignature][4 : 4+size])
	clear(zbufs[pacKDCSignature][4 : 4+kdcSize])
	if !et.VerifyChecksum(key.KeyValue, z, sig, keyusage.KERB_NON_KERB_CKSUM_SALT) {
		return errors.New("the PAC's signature is wrong")
	}
	return nil
}

// signatureSize is the length of a PAC_SIGNATURE_DATA's signature by its type; the
// KDC's may be of another type than ours (krbtgt keeps RC4 in old domains).
func signatureSize(buf []byte) (int, error) {
	id, size := int32(binary.LittleEndian.Uint32(buf)), 16 // KERB_CHECKSUM_HMAC_MD5
	if id != -138 {
		et, err := crypto.GetChksumEtype(id)
		if err != nil {
			return 0, err
		}
		size = et.GetHMACBitLength() / 8
	}
	if len(buf) < 4+size {
		return 0, errPAC
	}
	return size, nil
}

// readLogonInfo reads KERB_VALIDATION_INFO (MS-PAC 2.5): the user's SID, the
// groups, the extra SIDs and the resource groups.
func (p *pac) readLogonInfo(b []byte) error {
	n := newNDR(b)
	n.take(6*8, 4) // times
	var strs [8]ustring
	for i := range 6 {
		strs[i] = n.ustring()
	}
	n.u32() // logon count, bad password count
	userID, primary := n.u32(), n.u32()
	groupCount, groupPtr := n.u32(), n.u32()
	n.take(4+16, 4) // user flags, session key
	strs[6], strs[7] = n.ustring(), n.ustring()
	domainPtr := n.u32()
	n.take(8+4+4+8+8+4+4, 4) // reserved, account control, status, logon times, counters
	sidCount, sidPtr := n.u32(), n.u32()
	resDomainPtr, resCount, resPtr := n.u32(), n.u32(), n.u32()

	// Deferred parts, in the order of their pointers; LogonDomainId comes after
	// GroupIds, which need it.
	for _, s := range strs[:6] {
		n.text(s)
	}
	var rids []string
	if groupPtr != 0 {
		rids = n.rids(groupCount, "")
	}
	n.text(strs[6])
	n.text(strs[7])
	var domain, resDomain string
	if domainPtr != 0 {
		domain = n.sid()
	}
	extra := n.extraSIDs(sidCount, sidPtr)
	if resDomainPtr != 0 {
		resDomain = n.sid()
	}
	var resource []string
	if resPtr != 0 {
		resource = n.rids(resCount, resDomain)
	}
	if n.err != nil {
		return n.err
	}
	if domain == "" || (resPtr != 0 && resCount > 0 && resDomain == "") {
		return fmt.Errorf("SIDs without a domain: %w", errPAC)
	}
	for i, r := range rids {
		rids[i] = domain + r
	}
	rids = append(rids, fmt.Sprintf("%s-%d", domain, primary))
	p.userSID = fmt.Sprintf("%s-%d", domain, userID)
	if userID == 0 && len(extra) > 0 {
		p.userSID = extra[0] // MS-PAC 2.5: the user is from outside the domain
	}
	p.groups = uniqueSorted(slices.Concat(rids, extra, resource))
	return nil
}

// extraSIDs reads an array of KERB_SID_AND_ATTRIBUTES.
func (n *ndr) extraSIDs(count, ptr uint32) []string {
	if ptr == 0 {
		return nil
	}
	c := n.expect(8, count)
	ptrs := make([]uint32, c)
	for i := range ptrs {
		ptrs[i] = n.u32()
		n.u32() // attributes
	}
	var out []string
	for _, q := range ptrs {
		if q != 0 && n.err == nil {
			out = append(out, n.sid())
		}
	}
	return out
}

// readClientInfo reads PAC_CLIENT_INFO (MS-PAC 2.7).
func (p *pac) readClientInfo(b []byte) error {
	if len(b) < 10 {
		return errPAC
	}
	size := int(binary.LittleEndian.Uint16(b[8:]))
	if size%2 != 0 || len(b) < 10+size {
		return errPAC
	}
	p.authTime = fileTime(binary.LittleEndian.Uint64(b))
	p.name = utf16String(b[10 : 10+size])
	return nil
}

// readDelegationInfo reads S4U_DELEGATION_INFO (MS-PAC 2.9). The last transited
// service is the one that asked for this ticket.
func (p *pac) readDelegationInfo(b []byte) error {
	n := newNDR(b)
	target := n.ustring()
	listSize, listPtr := n.u32(), n.u32()
	p.proxyTarget = spn.Plain(n.text(target))
	if listPtr != 0 {
		list := make([]ustring, n.expect(8, listSize))
		for i := range list {
			list[i] = n.ustring()
		}
		for _, u := range list {
			p.delegatedBy = unescape(n.text(u))
		}
		p.delegated = len(list) > 0
	}
	return n.err
}

// unescape is spn.Plain for a name whose realm is wanted.
func unescape(s string) string {
	name, realm := s, ""
	if i := strings.LastIndexByte(s, '@'); i > 0 && s[i-1] != '\\' {
		name, realm = s[:i], s[i:]
	}
	return spn.Plain(name) + realm
}

// fileTime converts 100 ns units since 1601.
func fileTime(v uint64) time.Time {
	const toUnix = 116444736000000000
	if v < toUnix || v > 1<<62 {
		return time.Time{}
	}
	v -= toUnix
	return time.Unix(int64(v/1e7), int64(v%1e7)*100).UTC()
}

func uniqueSorted(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}
