// Package plan is pure: what the source knows of a VM and what the destination
// answered become a plan that is shown before anything is changed.
package plan
