package delegation

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// Digest identifies the values of an attribute, whatever their order: SHA-256 over
// the sorted values, each after its length as 8 bytes (big-endian), written
// "sha256:HEX". No value at all has a digest too.
func Digest(values [][]byte) string {
	sorted := slices.Clone(values)
	slices.SortFunc(sorted, bytes.Compare)
	h := sha256.New()
	var length [8]byte
	for _, v := range sorted {
		binary.BigEndian.PutUint64(length[:], uint64(len(v)))
		h.Write(length[:])
		h.Write(v)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
