package finding

import "strings"

// powerShellQuotes doubles what PowerShell takes for a single quote, the typographic
// ones included.
var powerShellQuotes = strings.NewReplacer("'", "''", "\u2018", "\u2018\u2018", "\u2019", "\u2019\u2019", "\u201a", "\u201a\u201a", "\u201b", "\u201b\u201b")

// Quote writes values as words of a command line of tool: comma-separated strings
// for PowerShell, else words of a POSIX shell, quoted where they must be. Names come
// from the directory, which holds any character.
func Quote(tool Tool, values ...string) string {
	var words []string
	for _, v := range values {
		switch {
		case tool == PowerShell:
			words = append(words, "'"+powerShellQuotes.Replace(v)+"'")
		case v != "" && strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") == "":
			words = append(words, v)
		default:
			words = append(words, "'"+strings.ReplaceAll(v, "'", `'\''`)+"'")
		}
	}
	if tool == PowerShell {
		return strings.Join(words, ",")
	}
	return strings.Join(words, " ")
}
