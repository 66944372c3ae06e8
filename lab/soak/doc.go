// Package soak is the plan and the result of the long run: many moves of several
// VMs over three hosts, with faults at random points. It is data and arithmetic;
// package drive, below it, does what is planned here in a lab.
//
// The plan is a pure function of a seed and of how many moves were asked for, so
// that what a run has found can be tried again.
package soak
