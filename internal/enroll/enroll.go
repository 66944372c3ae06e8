// Package enroll keeps the service names, keys and encryption types of accounts:
// what a host needs to be moved to, and adding and removing service names of any
// account with the checks that setspn makes.
package enroll
