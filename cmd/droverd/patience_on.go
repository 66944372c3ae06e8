//go:build faultinject

package main

import (
	"os"
	"time"
)

// patience is how long libvirt may take for a call, by DROVERD_LIBVIRT_TIMEOUT such
// as "5s": a test of calls that hang would last for minutes.
func patience() time.Duration {
	d, err := time.ParseDuration(os.Getenv("DROVERD_LIBVIRT_TIMEOUT"))
	if err != nil {
		return 0
	}
	return d
}
