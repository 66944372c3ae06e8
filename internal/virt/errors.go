package virt

import (
	"context"
	"errors"
	"fmt"

	lv "github.com/digitalocean/go-libvirt"

	"drover/internal/fault"
)

// Error is an error that libvirt reported.
type Error struct {
	// Code is libvirt's virErrorNumber.
	Code int
	// Message is libvirt's text, in English as far as the daemon's locale is.
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("libvirt: %s (%d)", e.Message, e.Code) }

// libvirt's virErrorNumber, as far as the package decides by it.
const (
	codeNoDomain         = int(lv.ErrNoDomain)
	codeNoNetwork        = int(lv.ErrNoNetwork)
	codeOperationInvalid = int(lv.ErrOperationInvalid)
	codeNoSupport        = int(lv.ErrNoSupport)

	codeOperationUnsupported = int(lv.ErrOperationUnsupported)
	codeMigrateFinishOK      = int(lv.ErrMigrateFinishOk)
)

// mapError turns the library's errors into this package's.
func (h *Host) mapError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var e lv.Error
	if errors.As(err, &e) {
		return &Error{Code: int(e.Code), Message: e.Message}
	}
	if lostConnection(err) {
		return h.connectionError(ctx, err)
	}
	return err
}

// hasCode reports whether libvirt reported code.
func hasCode(err error, code int) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Code == code
	}
	var le lv.Error
	return errors.As(err, &le) && int(le.Code) == code
}

// domainError gives "no such domain" its fault; op says what was tried.
func (h *Host) domainError(err error, vm, op string) error {
	switch {
	case err == nil:
		return nil
	case hasCode(err, codeNoDomain):
		return fault.Wrap(err, fault.VMNotFound, h.name, "vm", vm)
	case fault.Is(err, fault.HypervisorDown):
		return err
	}
	return fmt.Errorf("%s %s: %w", op, vm, err)
}
