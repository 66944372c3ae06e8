package krb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-krb5/krb5/config"
	"github.com/go-krb5/krb5/iana/errorcode"
	"github.com/go-krb5/krb5/messages"
)

const (
	dialTimeout     = 3 * time.Second
	exchangeTimeout = 10 * time.Second
	overallTimeout  = 30 * time.Second // when the caller's context has no deadline
	maxKDCReply     = 1 << 20
)

// realmKDCs knows where the KDCs of a realm are.
type realmKDCs struct {
	conf *config.Config
	// lookup finds SRV records; a test replaces it.
	lookup func(ctx context.Context, realm string) ([]string, error)
}

// loadConf reads krb5.conf: path, else $KRB5_CONFIG, else /etc/krb5.conf. A
// missing file is no error unless it was named: DNS then finds the KDCs.
func loadConf(path string) (*realmKDCs, error) {
	path, named := confPath(path)
	conf := config.New()
	text, err := os.ReadFile(path)
	if err == nil {
		conf, err = config.NewFromString(expandIncludes(string(text)))
	}
	var unsupported config.UnsupportedDirective
	if err != nil && !errors.As(err, &unsupported) && (named || !errors.Is(err, os.ErrNotExist)) {
		return nil, fmt.Errorf("krb5.conf %s: %w", path, err)
	}
	return &realmKDCs{conf: conf, lookup: lookupSRV}, nil
}

// expandIncludes puts the files of include and includedir lines in their place, as
// MIT does (the library skips them): SSSD and distributions keep realms there. In
// a directory only names of letters, digits, - and _, or ending in .conf, count.
func expandIncludes(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		verb, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		path = strings.TrimSpace(path)
		switch verb {
		case "include":
			appendFile(&b, path)
		case "includedir":
			entries, _ := os.ReadDir(path) // an absent directory is usual
			for _, e := range entries {
				if includeName.MatchString(e.Name()) {
					appendFile(&b, filepath.Join(path, e.Name()))
				}
			}
		default:
			b.WriteString(line)
		}
	}
	return b.String()
}

var includeName = regexp.MustCompile(`^[A-Za-z0-9_-]+$|^[^.].*\.conf$`)

func appendFile(b *strings.Builder, path string) {
	if text, err := os.ReadFile(path); err == nil {
		b.Write(text)
		b.WriteByte('\n')
	}
}

// confPath says where krb5.conf is, and whether the caller named it.
func confPath(path string) (string, bool) {
	if path != "" {
		return path, true
	}
	if path = os.Getenv("KRB5_CONFIG"); path != "" {
		return path, false
	}
	return "/etc/krb5.conf", false
}

func (r *realmKDCs) defaultRealm() string { return r.conf.LibDefaults.DefaultRealm }

// skew is how far clocks may differ.
func (r *realmKDCs) skew() time.Duration { return r.conf.LibDefaults.Clockskew }

// addresses lists host:port of the KDCs, from krb5.conf or else from DNS. The
// library's own GetKDCs shuffles the shared configuration in place.
func (r *realmKDCs) addresses(ctx context.Context, realm string) ([]string, error) {
	for _, x := range r.conf.Realms {
		if strings.EqualFold(x.Realm, realm) && len(x.KDC) > 0 {
			return append([]string(nil), x.KDC...), nil
		}
	}
	return r.lookup(ctx, realm)
}

func lookupSRV(ctx context.Context, realm string) ([]string, error) {
	_, recs, err := net.DefaultResolver.LookupSRV(ctx, "kerberos", "tcp", realm)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range recs { // sorted by priority, shuffled by weight
		out = append(out, net.JoinHostPort(strings.TrimSuffix(s.Target, "."), strconv.Itoa(int(s.Port))))
	}
	return out, nil
}

// exchange sends req to the KDCs one after the other until one answers. Only TCP
// is used: requests carry tickets with PACs and never fit a datagram.
func (r *realmKDCs) exchange(ctx context.Context, step, realm string, req []byte) ([]byte, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	addrs, err := r.addresses(ctx, realm)
	if err == nil && len(addrs) == 0 {
		err = errors.New("no KDC in krb5.conf or DNS")
	}
	if err != nil {
		return nil, &unreachableError{realm, err}
	}
	var errs []error
	for _, a := range addrs {
		rep, err := exchangeWith(ctx, a, req)
		if err == nil {
			err = replyError(step, rep)
			if kdcCode(err) != errorcode.KDC_ERR_SVC_UNAVAILABLE {
				return rep, err
			}
		}
		errs = append(errs, fmt.Errorf("%s: %w", a, err))
		if ctx.Err() != nil {
			break
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, fmt.Errorf("%s: %w", step, context.Cause(ctx))
	}
	return nil, &unreachableError{realm, errors.Join(errs...)}
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, overallTimeout)
}

// exchangeWith does one request over TCP (RFC 4120 7.2.2: a 32 bit length, then
// the message).
func exchangeWith(ctx context.Context, addr string, req []byte) ([]byte, error) {
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	deadline := time.Now().Add(exchangeTimeout)
	if t, ok := ctx.Deadline(); ok && t.Before(deadline) {
		deadline = t
	}
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(req))), req...)); err != nil {
		return nil, err
	}
	var l [4]byte
	if _, err := io.ReadFull(c, l[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(l[:])
	if n == 0 || n > maxKDCReply {
		return nil, fmt.Errorf("reply of %d bytes", n)
	}
	rep := make([]byte, n)
	_, err = io.ReadFull(c, rep)
	return rep, err
}

// replyError turns a KRB_ERROR (application tag 30) into a kdcError.
func replyError(step string, rep []byte) error {
	if rep[0] != 0x7e {
		return nil
	}
	var ke messages.KRBError
	if err := guard(step+": KDC error", func() error { return ke.Unmarshal(rep) }); err != nil {
		return err
	}
	return &kdcError{Step: step, Code: ke.ErrorCode, Text: ke.EText, NTStatus: ntStatus(ke.EData), Time: ke.STime, edata: ke.EData}
}
