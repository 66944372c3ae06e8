//go:build faultinject

package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"drover/internal/stream"
)

// teeGrace is how long what was relayed may still be on its way to QEMU when the
// move ends.
const teeGrace = 5 * time.Second

// teed is what a test gets to see of one direction of a connection.
type teed struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// tee writes what passes a local connection to the directory that DROVERD_TEE
// names, as one file per connection: KIND-INDEX.source or .destination. It puts
// another socket between QEMU and the relay, so that the relay has one of the
// kernel's as always. Without DROVERD_TEE it does nothing.
func (r *relays) tee(st *stream.Stream, local net.Conn) net.Conn {
	dir := os.Getenv("DROVERD_TEE")
	if dir == "" {
		return local
	}
	inner, outer, err := socketPair()
	if err != nil {
		return local // the test misses the file
	}
	role := "destination"
	if local.LocalAddr().String() != "" && local.LocalAddr().String() != "@" {
		role = "source" // which listens
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%d.%s", st.Kind(), st.Index(), role))
	owned := r.own(func(ctx context.Context) {
		cut := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(cut)
			deadline := time.Now().Add(teeGrace)
			local.SetDeadline(deadline)
			outer.SetDeadline(deadline)
		})
		var from, to teed
		var wg sync.WaitGroup
		wg.Go(func() { from = pass(outer, local) })
		wg.Go(func() { to = pass(local, outer) })
		wg.Wait()
		if !stop() {
			<-cut
		}
		local.Close()
		outer.Close()
		text, err := json.Marshal(map[string]teed{"from_qemu": from, "to_qemu": to})
		if err == nil {
			err = os.WriteFile(file+".tmp", text, 0o644)
		}
		if err == nil {
			_ = os.Rename(file+".tmp", file)
		}
	})
	if !owned {
		local.Close()
		outer.Close()
	}
	return inner
}

// pass copies until from ends, and says what reached to.
func pass(to, from net.Conn) teed {
	h := sha256.New()
	n := int64(0)
	buf := make([]byte, 256<<10)
	for {
		got, err := from.Read(buf)
		sent, failed := to.Write(buf[:got])
		h.Write(buf[:sent])
		n += int64(sent)
		if err != nil || failed != nil {
			break
		}
	}
	if c, ok := to.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	return teed{n, hex.EncodeToString(h.Sum(nil))}
}

func socketPair() (a, b net.Conn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	conns := make([]net.Conn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "tee")
		c, failed := net.FileConn(f)
		f.Close()
		if failed != nil {
			err = failed
			continue
		}
		conns[i] = c
	}
	return conns[0], conns[1], err
}
