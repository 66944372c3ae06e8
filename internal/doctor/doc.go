// Package doctor turns what a check saw into a fault that says what is wrong,
// where, and what to type. The judgements are pure functions of facts; gathering
// the facts is separate, so that each judgement has a table of tests.
package doctor
