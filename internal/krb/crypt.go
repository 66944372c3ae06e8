package krb

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/go-krb5/krb5/crypto"
	"github.com/go-krb5/krb5/crypto/etype"
	"github.com/go-krb5/krb5/iana/etypeID"
	"github.com/go-krb5/krb5/types"
)

type krbTime = time.Time

// minCipher is the shortest ciphertext that AES types can make of one byte:
// a confounder and a truncated checksum. Shorter input panics in the library.
const minCipher = 16 + 12 + 1

// requestEtypes are asked for, best first. AD knows the SHA-1 family only.
var requestEtypes = []int32{etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA1_96,
	etypeID.AES256_CTS_HMAC_SHA384_192, etypeID.AES128_CTS_HMAC_SHA256_128}

func isAES(id int32) bool {
	for _, e := range requestEtypes {
		if e == id {
			return true
		}
	}
	return false
}

// cipherOf gives the encryption type of a key and refuses keys of a wrong size
// and types that are not AES.
func cipherOf(k types.EncryptionKey) (etype.EType, error) {
	if !isAES(k.KeyType) {
		return nil, fmt.Errorf("key has encryption type %d, only AES is accepted", k.KeyType)
	}
	et, err := crypto.GetEtype(k.KeyType)
	if err != nil {
		return nil, err
	}
	if len(k.KeyValue) != et.GetKeyByteSize() {
		return nil, fmt.Errorf("key of encryption type %d has %d bytes", k.KeyType, len(k.KeyValue))
	}
	return et, nil
}

func encrypt(k types.EncryptionKey, plain []byte, usage uint32) (types.EncryptedData, error) {
	et, err := cipherOf(k)
	if err != nil {
		return types.EncryptedData{}, err
	}
	_, b, err := et.EncryptMessage(k.KeyValue, plain, usage)
	return types.EncryptedData{EType: k.KeyType, Cipher: b}, err
}

func decrypt(k types.EncryptionKey, cipher []byte, usage uint32) (plain []byte, err error) {
	et, err := cipherOf(k)
	if err != nil {
		return nil, err
	}
	if len(cipher) < minCipher {
		return nil, fmt.Errorf("short ciphertext: %w", errToken)
	}
	err = guard("decrypt", func() error {
		plain, err = et.DecryptMessage(k.KeyValue, cipher, usage)
		return err
	})
	return plain, err
}

func newKey(like types.EncryptionKey) types.EncryptionKey {
	return types.EncryptionKey{KeyType: like.KeyType, KeyValue: random(len(like.KeyValue))}
}

// random never fails: crypto/rand ends the program when the kernel gives none.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// randomSeq starts a sequence; 30 bits as everybody does, because some peers
// decode the number as signed.
func randomSeq() uint64 { return uint64(binary.BigEndian.Uint32(random(4)) & 0x3fffffff) }

// bindingHash is the channelHash of an exporter's binding (RFC 9266). No binding is
// sixteen zero bytes.
func bindingHash(b Binding) [16]byte {
	if len(b) == 0 {
		return [16]byte{}
	}
	return channelHash(append([]byte("tls-exporter:"), b...))
}

// channelHash is the MD5 of gss_channel_bindings with empty addresses and the given
// application data (RFC 4121 4.1.1.2).
func channelHash(app []byte) [16]byte {
	buf := make([]byte, 16, 20+len(app))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(app)))
	return md5.Sum(append(buf, app...))
}

func usec(t time.Time) int { return t.Nanosecond() / 1000 }
