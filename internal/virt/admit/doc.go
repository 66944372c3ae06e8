// Package admit decides what of another host's domain definition may reach
// this host's libvirt. What is offered is hostile: whoever controls the source
// host would like to open this host's files, devices and sockets through it.
//
// Nothing is searched for and removed. The XML is read into a tree (tree.go),
// every element and attribute must stand in an allow-list (table.go,
// domain.table, cookie.table) with a value of the listed kind, what a
// definition takes from its host (emulator, paths, tap devices, labels) is
// replaced by this host's own (rewrite.go), and the XML for libvirt is written
// anew from the tree. The original bytes go nowhere.
//
// Package admit is pure: it looks at no file. Symbolic links are resolved by
// the storage package when the files are made or opened.
package admit
