package krb

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-krb5/krb5/keytab"
	"github.com/go-krb5/krb5/types"

	"drover/internal/fault"
)

// DefaultKeytab is where a machine has its key.
const DefaultKeytab = "/etc/krb5.keytab"

// keyRing is a keytab that is read again when its file changes, so that a re-join
// needs no restart. The caller serialises access.
type keyRing struct {
	path  string
	stamp time.Time
	size  int64
	kt    *keytab.Keytab
}

var errKeyVersion = errors.New("the keytab has no key of that version")

// refresh reads the file if it changed. Errors never contain what was read: the
// library's own do.
func (k *keyRing) refresh() error {
	st, err := os.Stat(k.path)
	if err != nil {
		return err
	}
	if k.kt != nil && st.ModTime().Equal(k.stamp) && st.Size() == k.size {
		return nil
	}
	b, err := os.ReadFile(k.path)
	if err != nil {
		return err
	}
	kt := keytab.New()
	if guard("keytab", func() error { return kt.Unmarshal(b) }) != nil {
		return fmt.Errorf("%s is not a keytab", k.path)
	}
	if len(kt.Entries) == 0 {
		return fmt.Errorf("%s is empty", k.path)
	}
	k.kt, k.stamp, k.size = kt, st.ModTime(), st.Size()
	return nil
}

// account finds the computer account: want, or the first name that ends in "$".
func (k *keyRing) account(want string) (name, realm string, err error) {
	for _, e := range k.kt.Entries {
		if len(e.Principal.Components) != 1 || !isAES(e.Key.KeyType) {
			continue
		}
		n := e.Principal.Components[0]
		if strings.EqualFold(n, want) || (want == "" && strings.HasSuffix(n, "$")) {
			return n, e.Principal.Realm, nil
		}
	}
	if want == "" {
		want = "any computer account"
	}
	return "", "", fmt.Errorf("%s has no AES key of %s", k.path, want)
}

// key finds the account's key of a type; kvno 0 means the newest. known says that
// the account has keys of that type, though perhaps not of that version.
func (k *keyRing) key(account, realm string, kvno int, et int32) (key types.EncryptionKey, known bool, err error) {
	best := -1
	for _, e := range k.kt.Entries {
		if len(e.Principal.Components) != 1 || !strings.EqualFold(e.Principal.Components[0], account) ||
			!equalRealm(e.Principal.Realm, realm) || e.Key.KeyType != et {
			continue
		}
		known = true
		// Keytabs of old tools hold the low eight bits of the version only.
		match := kvno == 0 || int(e.KVNO) == kvno || (e.KVNO < 256 && int(e.KVNO) == kvno&0xff && kvno > 255)
		if match && int(e.KVNO) > best {
			best, key = int(e.KVNO), e.Key
		}
	}
	if best < 0 {
		return key, known, fmt.Errorf("version %d, encryption type %d: %w", kvno, et, errKeyVersion)
	}
	return key, known, nil
}

// KeytabKey is one key of a keytab; the key itself stays where it is.
type KeytabKey struct {
	Principal string // "HV01$@LAB.DROVER.TEST"
	Version   int    // key version number
	AES       bool
}

// ReadKeytab lists the keys of a keytab ("" = /etc/krb5.keytab). Fault:
// agent-without-keytab.
func ReadKeytab(path string) ([]KeytabKey, error) {
	if path == "" {
		path = DefaultKeytab
	}
	ring := keyRing{path: path}
	if err := ring.refresh(); err != nil {
		return nil, fault.Wrap(err, fault.AgentNoKeytab, thisMachine, "keytab", path)
	}
	var out []KeytabKey
	for _, e := range ring.kt.Entries {
		out = append(out, KeytabKey{
			Principal: strings.Join(e.Principal.Components, "/") + "@" + e.Principal.Realm,
			Version:   int(e.KVNO), AES: isAES(e.Key.KeyType),
		})
	}
	return out, nil
}

func equalRealm(a, b string) bool { return strings.EqualFold(a, b) }
