package cmdlet

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// setspn reads its words. A name may have blanks without quotation marks, as the
// migration service's has; where an account follows, it is the last word.
func setspn(words []string) (args []string, err error) {
	forest, mode := false, ""
	var rest []string
	for i := 0; i < len(words); i++ {
		name, _, _, ok := parameterWord(words[i])
		if !ok {
			rest = append(rest, words[i])
			continue
		}
		switch option := strings.ToUpper(name); option {
		case "F":
			forest = true
		case "P", "U", "C": // no progress; the account is a user's, a computer's
		case "T":
			if i++; i == len(words) || words[i] != "*" {
				return nil, errors.New("setspn -T takes only \"*\" here; another domain is named with --domain")
			}
			forest = true
		case "L", "Q", "X", "S", "A", "D":
			if mode != "" {
				return nil, fmt.Errorf("setspn takes one of -%s and -%s", mode, option)
			}
			mode = option
		default:
			return nil, fmt.Errorf("setspn -%s has no counterpart; drover has -L, -Q, -X, -S, -A and -D, with -F", name)
		}
	}
	args, err = spnVerb(mode, rest)
	if forest && (mode == "Q" || mode == "X") {
		args = append(args, "--forest")
	}
	return args, err
}

func spnVerb(mode string, rest []string) ([]string, error) {
	if mode == "" && len(rest) == 1 {
		mode = "L" // as Windows does
	}
	n := len(rest)
	switch {
	case mode == "L" && n == 1:
		return []string{"spn", "list", rest[0]}, nil
	case mode == "L":
		return nil, errors.New("setspn -L needs one account, such as HV01")
	case mode == "X" && n == 0:
		return []string{"spn", "duplicates"}, nil
	case mode == "X":
		return nil, fmt.Errorf("setspn -X takes no argument, but got %q", rest[0])
	case mode == "Q" && n > 0:
		return []string{"spn", "find", strings.Join(rest, " ")}, nil
	case mode == "Q":
		return nil, errors.New("setspn -Q needs a name, such as 'cifs/*'")
	case mode != "" && n > 1:
		verb := map[string]string{"S": "add", "A": "add", "D": "delete"}[mode]
		return []string{"spn", verb, rest[n-1], strings.Join(rest[:n-1], " ")}, nil
	case mode != "":
		return nil, fmt.Errorf("setspn -%s needs a name and an account: setspn -%s cifs/HV01 HV01", mode, mode)
	}
	return nil, errors.New("setspn needs an option: -L ACCOUNT, -Q NAME, -X, -S NAME ACCOUNT or -D NAME ACCOUNT")
}

// systemSession is the logon session of a Windows host's own account.
const systemSession = 0x3e7

// klist reads its words. The tickets are those of the host's agent, which are what
// those of session 0x3e7 are on Windows.
func klist(words []string) (args []string, err error) {
	verb := ""
	for i := 0; i < len(words); i++ {
		name, _, _, ok := parameterWord(words[i])
		if !ok {
			if verb != "" {
				return nil, fmt.Errorf("klist takes one command, not %s and %s", verb, words[i])
			}
			verb = strings.ToLower(words[i])
			continue
		}
		if !strings.EqualFold(name, "li") && !strings.EqualFold(name, "lh") {
			return nil, fmt.Errorf("klist -%s has no counterpart; there are klist, klist purge and -li 0x3e7", name)
		}
		if i++; i == len(words) {
			return nil, fmt.Errorf("the value of klist -%s is missing", name)
		}
		id, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(words[i]), "0x"), 16, 64)
		if want := map[bool]uint64{true: systemSession, false: 0}[strings.EqualFold(name, "li")]; err != nil || id != want {
			return nil, fmt.Errorf("klist -%s %s: an agent has one session, which answers to -li 0x3e7", name, words[i])
		}
	}
	switch verb {
	case "", "tickets", "tgt", "sessions":
		return []string{"ticket", "list"}, nil
	case "purge":
		return []string{"ticket", "purge"}, nil
	}
	return nil, fmt.Errorf("klist %s has no counterpart; there are klist and klist purge", verb)
}
