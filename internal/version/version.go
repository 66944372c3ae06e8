// Package version says which build this is, and which of two versions is older.
package version

import "runtime/debug"

// release is set when a release is built:
// -ldflags "-X drover/internal/version.release=0.1.0".
var release = ""

// Info describes a build.
type Info struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
}

// Get reads the description of this build.
func Get() Info {
	v := Info{Version: release}
	if v.Version == "" {
		v.Version = "devel"
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// String is the version for a line of text.
func String() string { return Get().Version }
