package nbd

import (
	"bytes"
	"testing"
)

func TestGreetingEndsWithTheConsentToGo(t *testing.T) {
	for name, c := range map[string]struct {
		server []byte
		over   bool
		err    error
	}{
		"as QEMU's":               {taking(), true, nil},
		"refused once":            {join(welcome(3), reply(optGo, repError|6, nil), export(1), reply(optGo, repAck, nil)), true, nil},
		"cut off":                 {taking()[:len(taking())-1], false, nil},
		"consent to another":      {join(welcome(3), reply(8, repAck, nil)), false, nil},
		"no server":               {bytes.Repeat([]byte("HTTP"), 10), false, errGreetingStrange},
		"oldstyle":                {join([]byte("NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53"), make([]byte, 200)), false, errGreetingStrange},
		"newstyle, not fixed":     {welcome(2), false, errGreetingStrange},
		"a reply to a request":    {join(welcome(3), []byte("\x67\x44\x66\x98"), make([]byte, 16)), false, errGreetingStrange},
		"information without end": {join(welcome(3), bytes.Repeat(export(1), 5000)), false, errGreetingLong},
		"an answer without end":   {join(welcome(3), reply(optGo, repInfo, nil)[:16], []byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 1<<17)), false, errGreetingLong},
	} {
		for _, step := range []int{1, 7, 1 << 20} {
			var g Greeting
			over, err := false, error(nil)
			for b := c.server; len(b) > 0 && !over && err == nil; {
				n := min(step, len(b))
				over, err = g.Saw(b[:n])
				b = b[n:]
			}
			if over != c.over || err != c.err {
				t.Errorf("%s, %d at a time: %v, %v", name, step, over, err)
			}
		}
	}
}

// FuzzGreeting: how the bytes are cut changes nothing, nothing is followed without end, and
// only the consent to NBD_OPT_GO ends it well.
func FuzzGreeting(f *testing.F) {
	f.Add(taking(), []byte{1, 200, 3})
	f.Add(join(welcome(3), export(1), reply(optGo, repAck, nil)), []byte{})
	f.Add(join(welcome(3), reply(optGo, repInfo, make([]byte, 300))), []byte{255})
	f.Add([]byte("NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53"), []byte{9})
	f.Fuzz(func(t *testing.T, server, cuts []byte) {
		consent := join(reply(optGo, repAck, nil))[:16]
		var g Greeting
		taken, piece := 0, chunks(cuts)
		for b := server; len(b) > 0; {
			n := min(piece(len(b)), len(b))
			over, err := g.Saw(b[:n])
			taken += n
			if err != nil {
				return
			}
			if over && !bytes.Contains(server[:taken], consent) {
				t.Fatal("over without a consent")
			}
			if over {
				return
			}
			if taken > maxGreeting {
				t.Fatalf("followed for %d bytes", taken)
			}
			b = b[n:]
		}
	})
}
