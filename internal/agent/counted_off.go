//go:build !faultinject

package agent

// counted: nobody is told of the reservations. Tests build with -tags faultinject.
func counted(release func()) func() { return release }
