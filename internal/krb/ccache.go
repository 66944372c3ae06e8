package krb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"
)

var errCCache = errors.New("malformed credential cache")

// ccPrincipal is a name in a credential cache.
type ccPrincipal struct {
	name  types.PrincipalName
	realm string
}

// ccCredential is one entry of a credential cache.
type ccCredential struct {
	client, server   ccPrincipal
	key              types.EncryptionKey
	auth, start, end time.Time
	renewTill        time.Time
	flags            uint32
	ticket, second   []byte
}

// cachePath finds the file of a cache name: "" = $KRB5CCNAME, else krb5.conf's
// default_ccache_name, else FILE:/tmp/krb5cc_UID. FILE: and DIR: can be read; the
// kernel's keyring and KCM cannot.
func cachePath(name, krb5conf string) (path, shown string, err error) {
	if name == "" {
		name = os.Getenv("KRB5CCNAME")
	}
	if name == "" {
		name = defaultCacheName(krb5conf)
	}
	if name == "" {
		name = fmt.Sprintf("FILE:/tmp/krb5cc_%d", os.Getuid())
	}
	kind, rest, ok := strings.Cut(name, ":")
	switch {
	case !ok || strings.HasPrefix(name, "/"):
		return name, "FILE:" + name, nil
	case kind == "FILE":
		return rest, name, nil
	case kind == "DIR":
		return dirCache(rest), name, nil
	}
	return "", name, fmt.Errorf("credential caches of type %s cannot be read, only FILE and DIR; set KRB5CCNAME=FILE:/path", kind)
}

// defaultCacheName reads default_ccache_name, which the library does not know.
func defaultCacheName(krb5conf string) string {
	path, _ := confPath(krb5conf)
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(line, "=")
		if ok && strings.TrimSpace(key) == "default_ccache_name" {
			uid := strconv.Itoa(os.Getuid())
			return strings.NewReplacer("%{uid}", uid, "%{euid}", strconv.Itoa(os.Geteuid()), "%{TEMP}", os.TempDir()).Replace(strings.TrimSpace(value))
		}
	}
	return ""
}

// dirCache finds the file in a DIR cache: "DIR::file" names it, else the file
// "primary" does.
func dirCache(rest string) string {
	if f, ok := strings.CutPrefix(rest, ":"); ok {
		return f
	}
	primary := "tkt"
	if b, err := os.ReadFile(filepath.Join(rest, "primary")); err == nil {
		if p := strings.TrimSpace(string(b)); strings.HasPrefix(p, "tkt") && p == filepath.Base(p) {
			primary = p
		}
	}
	return filepath.Join(rest, primary)
}

// ccReader reads version 3 and 4 of MIT's file format (big endian). The first
// error sticks.
type ccReader struct {
	b   []byte
	err error
}

func (r *ccReader) take(n uint32) []byte {
	if r.err == nil && uint64(n) > uint64(len(r.b)) {
		r.err = errCCache
	}
	if r.err != nil {
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *ccReader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *ccReader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *ccReader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *ccReader) data() []byte { return r.take(r.u32()) }

func (r *ccReader) time() time.Time { return time.Unix(int64(r.u32()), 0) }

func (r *ccReader) principal() (p ccPrincipal) {
	p.name.NameType = int32(r.u32())
	n := r.u32()
	p.realm = string(r.data())
	for ; n > 0 && r.err == nil; n-- {
		p.name.NameString = append(p.name.NameString, string(r.data()))
	}
	return p
}

// pairs skips a list of (u16, data): addresses and authorization data.
func (r *ccReader) pairs() {
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		r.u16()
		r.data()
	}
}

func (r *ccReader) credential(version byte) (c ccCredential) {
	c.client, c.server = r.principal(), r.principal()
	c.key.KeyType = int32(r.u16())
	if version == 3 {
		r.u16()
	}
	c.key.KeyValue = r.data()
	c.auth, c.start, c.end, c.renewTill = r.time(), r.time(), r.time(), r.time()
	r.u8() // is_skey
	c.flags = r.u32()
	r.pairs()
	r.pairs()
	c.ticket, c.second = r.data(), r.data()
	return c
}

// parseCCache gives the default principal and the credentials.
func parseCCache(b []byte) (ccPrincipal, []ccCredential, error) {
	r := &ccReader{b: b}
	five, version := r.u8(), r.u8()
	if five != 5 || (version != 3 && version != 4) {
		return ccPrincipal{}, nil, fmt.Errorf("version %d.%d: %w", five, version, errCCache)
	}
	if version == 4 {
		r.take(uint32(r.u16())) // header: clock offset of the KDC
	}
	def := r.principal()
	var out []ccCredential
	for r.err == nil && len(r.b) > 0 {
		c := r.credential(version)
		if r.err == nil && !strings.HasPrefix(c.server.realm, "X-CACHECONF") {
			out = append(out, c)
		}
	}
	return def, out, r.err
}

// toTicket opens a credential's ticket.
func (c *ccCredential) toTicket(now func() time.Time) (*Ticket, error) {
	var t messages.Ticket
	if err := guard("cached ticket", func() error { return t.Unmarshal(c.ticket) }); err != nil {
		return nil, err
	}
	if len(t.SName.NameString) == 0 {
		return nil, errCCache
	}
	if _, err := cipherOf(c.key); err != nil {
		return nil, err
	}
	f := types.NewKrbFlags()
	binary.BigEndian.PutUint32(f.Bytes, c.flags)
	return &Ticket{kind: KindTGT, ticket: t, key: c.key, cname: c.client.name, crealm: c.client.realm,
		service: nameString(c.server.name), flags: f, end: c.end, obtained: c.auth, now: now}, nil
}

func ccData(b, d []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(d))), d...)
}

func ccName(b []byte, n types.PrincipalName, realm string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(n.NameType))
	b = binary.BigEndian.AppendUint32(b, uint32(len(n.NameString)))
	b = ccData(b, []byte(realm))
	for _, s := range n.NameString {
		b = ccData(b, []byte(s))
	}
	return b
}

// formatCCache makes a version 4 cache with one ticket, as klist reads it.
func formatCCache(t *Ticket) ([]byte, error) {
	tb, err := t.ticket.Marshal()
	if err != nil {
		return nil, err
	}
	b := []byte{5, 4, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0} // header: no clock offset
	b = ccName(b, t.cname, t.crealm)
	b = ccName(b, t.cname, t.crealm)
	b = ccName(b, t.ticket.SName, t.ticket.Realm)
	b = binary.BigEndian.AppendUint16(b, uint16(t.key.KeyType))
	b = ccData(b, t.key.KeyValue)
	for _, x := range []time.Time{t.obtained, t.obtained, t.end} {
		b = binary.BigEndian.AppendUint32(b, uint32(x.Unix()))
	}
	b = append(b, 0, 0, 0, 0, 0) // not renewable, not a session-key ticket
	var f [4]byte
	copy(f[:], t.flags.Bytes)
	b = append(b, f[:]...)
	b = append(b, make([]byte, 8)...) // no addresses, no authorization data
	b = ccData(b, tb)
	return ccData(b, nil), nil
}

// writeCCache replaces the cache in one step; it is readable by its owner only
// from the start.
func writeCCache(path string, t *Ticket) error {
	b, err := formatCCache(t)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".krb5cc-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write credential cache: %w", err)
	}
	return nil
}

// CachedServices names the services, without their realms, for which a credential
// cache ("" as for OpenOperator) has tickets, also those that are over: a list of
// what this user has met. A cache that cannot be read has none.
func CachedServices(ccache, krb5conf string) (services []string) {
	path, _, err := cachePath(ccache, krb5conf)
	if err != nil {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	_, creds, err := parseCCache(b)
	if err != nil {
		return nil
	}
	for _, c := range creds {
		services = append(services, nameString(c.server.name))
	}
	return services
}
