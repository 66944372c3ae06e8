package eventlog

import (
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// namespace is that of the journal's message ids; it was drawn by chance once and
// never changes.
var namespace = uuid.MustParse("5a7c1f0e-8d43-4c52-9d0b-6f2f6f1f8f0a")

// MessageID identifies the kind of event in the journal of systemd, as its field
// MESSAGE_ID has it: 32 hexadecimal digits, made from the number (RFC 9562, 5.5).
func (id ID) MessageID() string {
	u := uuid.NewSHA1(namespace, []byte("drover event "+strconv.Itoa(int(id))))
	return strings.ReplaceAll(u.String(), "-", "")
}
