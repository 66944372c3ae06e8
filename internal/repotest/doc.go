// Package repotest holds no code of the product. Its tests read the repository
// itself: the layers of docs/DESIGN.md, the registry of error codes and its
// call sites, the documents and the files under dist/. They work on the source
// as text and syntax (go/parser), so they need nothing that compiles.
package repotest
