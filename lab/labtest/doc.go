// Package labtest holds tests that need a lab and several of the product's
// packages at once. There is nothing in it to import.
package labtest
