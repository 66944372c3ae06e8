//go:build !faultinject

package main

import (
	"context"
	"time"

	"drover/internal/move"
)

// injector: the product has no fault injection. Tests build with -tags faultinject.
func injector() func(context.Context, move.Role, move.Phase) error { return nil }

// clock: the product goes by the machine's.
func clock() func() time.Time { return nil }
