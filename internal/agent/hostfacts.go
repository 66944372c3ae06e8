package agent

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drover/internal/api"
)

// Where Linux keeps them (machine-id(5), localtime(5)).
const (
	machineIDFile = "/etc/machine-id"
	localtimeFile = "/etc/localtime"
)

// storageRoots are the roots as they are now.
func (b *backend) storageRoots(ctx context.Context) []api.StorageRoot {
	out := []api.StorageRoot{}
	for _, s := range b.roots.States(ctx) {
		out = append(out, api.StorageRoot{Path: s.Dir, TotalBytes: s.Total, FreeBytes: s.Free, Problem: s.Problem})
	}
	return out
}

// machineID is the machine's id as it may be told: machine-id(5) wants the id itself kept
// from the network, and a keyed hash of it in its place. "" when there is none.
func machineID(path string) string {
	b, err := os.ReadFile(path)
	id := strings.TrimSpace(string(b))
	if err != nil || id == "" || id == "uninitialized" {
		return ""
	}
	sum := hmac.New(sha256.New, []byte(id))
	sum.Write([]byte("drover host"))
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// timeZone reads the machine's time zone anew: the program's own is that of its start.
func timeZone(path string, now time.Time) api.TimeZone {
	var z api.TimeZone
	if target, err := filepath.EvalSymlinks(path); err == nil {
		if _, name, named := strings.Cut(target, "/zoneinfo/"); named {
			z.Name = name
		}
	}
	at := time.UTC // what there is without the file
	if b, err := os.ReadFile(path); err == nil {
		if l, err := time.LoadLocationFromTZData(z.Name, b); err == nil {
			at = l
		}
	}
	minutes := func(m time.Month) int {
		_, seconds := time.Date(now.Year(), m, 1, 12, 0, 0, 0, at).Zone()
		return seconds / 60
	}
	z.Winter, z.Summer = minutes(time.January), minutes(time.July)
	return z
}
