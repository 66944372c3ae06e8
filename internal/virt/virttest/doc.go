// Package virttest stands in for libvirt in tests: a world of fake hosts that
// share fake guests, and the contract that they and real libvirts both keep.
//
// The fakes behave as measured in docs/facts/libvirt.md, including what happens
// when the connection that drives a migration ends. A World watches every
// change for the one thing that must never happen: a guest running twice.
package virttest
