// Package cli is the command line of drover: one file per verb, each with its
// options, its flags and a function that runs it. It talks to agents through
// package api only and links nothing of an agent.
//
// The rules of what is printed where are at the top of tui.go; the exit
// statuses and the shapes of `-o json` are an interface, documented in
// docs/scripting.md.
//
// # Adding a verb
//
// Write newX (the command: use, texts, flags), an xOptions and runX in a file
// of its own, add newX to its parent, give it a testscript in testdata/script,
// and renew the golden help texts and man pages with
// `go test ./internal/cli -run TestHelpTexts -update`. Arguments and flags that are
// called like those of others (VM, HOST, ID) complete like those: see complete.go.
package cli
