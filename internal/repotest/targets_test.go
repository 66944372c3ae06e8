package repotest

import (
	"regexp"
	"strings"
	"testing"
)

// makeCall is `make x` in backticks or at the beginning of an indented line.
var makeCall = regexp.MustCompile("(?m)(?:`|^    )make ([a-z-]+)")

// A reader's first command must work.
func TestDocumentedMakeTargetsExist(t *testing.T) {
	r := load(t)
	found := 0
	for name, text := range r.texts {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		for _, m := range makeCall.FindAllStringSubmatch(text, -1) {
			found++
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(r.texts["Makefile"]) {
				t.Errorf("%s: make %s: the Makefile has no such target", name, m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no make call found in any document: the test looks for the wrong thing")
	}
}
