//go:build !faultinject

package main

import "time"

// patience: the product's own.
func patience() time.Duration { return 0 }
