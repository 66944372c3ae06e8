// Package drive makes the long run in a lab: it does what package soak has planned,
// breaks things with package faults, and checks after every step what must hold
// however the step went. `drover-lab soak` runs it.
package drive
