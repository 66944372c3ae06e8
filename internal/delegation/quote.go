package delegation

import (
	"fmt"
	"strings"
	"unicode/utf16"

	"drover/internal/finding"
)

// powerShellWords are strings for a script in a file, which Windows PowerShell reads
// in the code page of the machine: other characters than ASCII are written as numbers
// of UTF-16. Among those are the typographic quotes, U+2018 to U+201B, which end a
// string like an apostrophe.
func powerShellWords(values ...string) string {
	var words []string
	for _, v := range values {
		word := powerShellWord(v)
		if strings.Contains(word, "+[char]") {
			word = "(" + word + ")"
		}
		words = append(words, word)
	}
	return strings.Join(words, ",")
}

// powerShellWord begins with a string, so that the sum is one.
func powerShellWord(v string) string {
	n := strings.IndexFunc(v, func(r rune) bool { return r >= 0x80 })
	if n < 0 {
		return finding.Quote(finding.PowerShell, v)
	}
	word := finding.Quote(finding.PowerShell, v[:n])
	rest := strings.TrimLeftFunc(v[n:], func(r rune) bool { return r >= 0x80 })
	for _, unit := range utf16.Encode([]rune(v[n : len(v)-len(rest)])) {
		word += fmt.Sprintf("+[char]0x%04X", unit)
	}
	if rest != "" {
		word += "+" + powerShellWord(rest)
	}
	return word
}
