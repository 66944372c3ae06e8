// Package store keeps the move journal, the events and the audit trail in one
// SQLite file. Records are opaque JSON here; the columns beside them are what
// lists are selected by.
//
// What a method has acknowledged is durable: the file is in WAL mode with
// synchronous=FULL, so a commit returns after fsync. There is one writer, and a
// lock file sees to it that there is one process.
package store
