package delegation

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// Digest identifies the values of an attribute, whatever their order: SHA-256 over
// the sorted values, each after its length as 8 bytes, written "sha256:HEX".
func Digest(values [][]byte) string {
	sorted := slices.Clone(values)
	slices.SortFunc(sorted, bytes.Compare)
	h := sha256.New()
	for _, v := range sorted {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(v))))
		h.Write(v)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
