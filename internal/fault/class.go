package fault

import "net/http"

// Class groups codes by what the caller can do; it fixes the exit status, which
// is part of the command line's interface (docs/scripting.md).
type Class int

// The classes. Their exit statuses never change.
const (
	ClassInternal    Class = iota // a bug, or nothing better is known: 1
	ClassUsage                    // the request makes no sense as written: 2
	ClassNotFound                 // a named object does not exist: 3
	ClassAuth                     // who are you, or you may not: 4
	ClassRefused                  // understood and allowed, but not as things are: 5
	ClassUnavailable              // something does not answer: 6
	ClassCancelled                // somebody asked for it to end: 7
	ClassUnknown                  // the outcome cannot be read at present: 8
)

// ExitStatus of a program that ends with an error of this class.
func (c Class) ExitStatus() int { return int(c) + 1 }

// HTTPStatus of a response that reports an error of this class.
func (c Class) HTTPStatus() int {
	switch c {
	case ClassUsage:
		return http.StatusUnprocessableEntity
	case ClassNotFound:
		return http.StatusNotFound
	case ClassAuth:
		return http.StatusForbidden
	case ClassRefused, ClassCancelled:
		return http.StatusConflict
	case ClassUnavailable, ClassUnknown:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func (c Class) String() string {
	return [...]string{"internal", "usage", "not-found", "auth", "refused", "unavailable", "cancelled", "unknown"}[c]
}
