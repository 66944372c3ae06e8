//go:build !faultinject

package main

import (
	"context"

	"drover/internal/move"
)

// injector: the product has no fault injection. Tests build with -tags faultinject.
func injector() func(context.Context, move.Role, move.Phase) error { return nil }
