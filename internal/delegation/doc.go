// Package delegation decides which host may act for operators at which other
// host, and brings the directory there.
//
// An Intent says what is wanted. NewPlan compares it with accounts as they are and
// gives a Plan, which is data: it can be shown, stored, printed as a script
// (Print) or carried out (Apply). NewPlan, NewRollback and Print do no I/O. Apply
// writes a Baseline first, which is LDIF that puts everything back, and
// NewRollback makes a plan of such a baseline.
//
// Three models lead to the same right. Constrained delegation lists, on each
// source's account, the services of each destination. Resource-based delegation
// lists, on each destination's account, the sources. The group model is
// resource-based with one group that holds the hosts, so that each account has one
// entry, however many hosts there are.
package delegation
