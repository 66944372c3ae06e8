package symptom

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"drover/internal/fault"
)

// Match is what a text was recognised as: a symptom, or a code of Drover.
type Match struct {
	Symptom *Symptom
	Entry   *fault.Entry
	score   int
}

// How much each way of recognising counts beside the length of a text. Numbers name
// one condition; a number of an event names a place where many are reported.
const (
	byCode   = 4000
	byNumber = 2000
	byEvent  = 300
	// least is how many letters of a text must fit, below which it says nothing.
	least = 8
	// most is how many matches Find gives.
	most = 5
	// longest is how much of what was pasted is read.
	longest = 64 << 10
)

// Find recognises pasted text, the best match first, none when nothing fits.
func Find(text string) []Match {
	if len(text) > longest {
		text = text[:longest]
	}
	q := read(text)
	var out []Match
	all := All()
	for i := range all {
		if score := q.symptom(&all[i]); score > 0 {
			out = append(out, Match{Symptom: &all[i], score: score})
		}
	}
	for _, e := range fault.All() {
		if score := q.entry(e); score > 0 {
			out = append(out, Match{Entry: &e, score: score})
		}
	}
	slices.SortStableFunc(out, func(a, b Match) int { return cmp.Compare(b.score, a.score) })
	return out[:min(len(out), most)]
}

// query is pasted text, as it is compared.
type query struct {
	text    string          // normalised
	words   map[string]bool // as pasted, in lower case, for codes
	numbers []uint32
	// bare are small numbers: of events, of Kerberos, or of Windows without the
	// facility. alone: the text is nothing else.
	bare  []int
	alone bool
	// kerberos are numbers that the Kerberos libraries have given.
	kerberos []int
}

var (
	hexadecimal = regexp.MustCompile(`(?i)\b(?:0x([0-9a-f]{1,8})|([89c][0-9a-f]{7}))\b`)
	decimal     = regexp.MustCompile(`(?:^|[^\w.-])(-?\d{1,10})\b`)
	codeWord    = regexp.MustCompile(`[a-z0-9]+(?:-[a-z0-9]+)*`)
)

// krb5Base is where the numbers of the Kerberos libraries begin that stand for those
// of the protocol.
const krb5Base = -1765328384

func read(text string) query {
	q := query{text: normal(text), words: map[string]bool{}}
	for _, w := range codeWord.FindAllString(strings.ToLower(text), -1) {
		q.words[w] = true
	}
	for _, m := range hexadecimal.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseUint(m[1]+m[2], 16, 32)
		if err == nil {
			q.number(int64(n))
		}
	}
	for _, m := range decimal.FindAllStringSubmatch(text, -1) {
		if n, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			q.number(n)
		}
	}
	_, err := strconv.ParseInt(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(text)), "0x"), 16, 64)
	q.alone = err == nil
	return q
}

// number files a number under what it can be.
func (q *query) number(n int64) {
	switch {
	case n >= krb5Base && n < krb5Base+128:
		q.kerberos = append(q.kerberos, int(n-krb5Base))
	case n < 0 && n >= -1<<31: // as PowerShell and .NET show an HRESULT
		q.numbers = append(q.numbers, uint32(n&0xFFFFFFFF))
	case n >= 1<<31 && n < 1<<32:
		q.numbers = append(q.numbers, uint32(n))
	case n > 0 && n < 1<<16:
		q.bare = append(q.bare, int(n))
	}
}

// normal is lower case with one blank for all that is neither letter nor digit, and
// blanks at both ends, so that words are found as whole ones.
func normal(s string) string {
	var b strings.Builder
	b.WriteByte(' ')
	blank := true
	for _, r := range strings.ToLower(s) {
		switch {
		case r == '\'' || r == '\u2019': // can't, doesn't
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
			blank = false
		case !blank:
			b.WriteByte(' ')
			blank = true
		}
	}
	if !blank {
		b.WriteByte(' ')
	}
	return b.String()
}

// symptom is how well s fits, 0 when it does not.
func (q query) symptom(s *Symptom) int {
	score := 0
	if s.Number != 0 && q.hasNumber(s.Number) {
		score += byNumber
	}
	if s.Kerberos != 0 && q.hasKerberos(s.Kerberos) {
		score += byNumber
	}
	if s.Event != 0 && q.hasEvent(s.Event) {
		score += byEvent
	}
	best := 0
	for _, t := range append([]string{s.Title}, s.Texts...) {
		best = max(best, q.fits(t))
	}
	return score + best
}

// hasNumber takes the number of a Win32 error without its facility as well, where
// the text says that it is an error or nothing else.
func (q query) hasNumber(n uint32) bool {
	const win32 = 0x80070000
	return slices.Contains(q.numbers, n) ||
		n&0xFFFF0000 == win32 && slices.Contains(q.bare, int(n&0xFFFF)) && (q.alone || q.says("error") && !q.ofKerberos())
}

// hasKerberos wants more than a small number, which is in every text.
func (q query) hasKerberos(n int) bool {
	return slices.Contains(q.kerberos, n) || slices.Contains(q.bare, n) && q.ofKerberos()
}

// ofKerberos says that numbers are those of the protocol.
func (q query) ofKerberos() bool {
	return slices.ContainsFunc([]string{"krb5", "kerberos error", "kdc error", "krb error"}, q.says)
}

func (q query) hasEvent(n int) bool {
	return slices.Contains(q.bare, n) && (q.alone || q.says("event") || q.says("eventid") || q.says("id"))
}

func (q query) says(words string) bool { return strings.Contains(q.text, normal(words)) }

// fits is how many letters of a wording the text has, or the wording of the text,
// which then is part of the message only.
func (q query) fits(wording string) int {
	length, from := 0, 0
	for part := range strings.SplitSeq(wording, "*") {
		part = normal(part)
		if part == " " {
			continue
		}
		at := strings.Index(q.text[from:], part)
		if at < 0 {
			return q.partOf(wording)
		}
		from += at + len(part) - 1 // the blank may begin the next one
		length += len(part) - 2
	}
	if length < least {
		return 0
	}
	return length
}

// partOf counts for half: somebody gave some words of a message.
func (q query) partOf(wording string) int {
	n := len(q.text) - 2
	if n < least || !strings.Contains(strings.TrimSpace(q.text), " ") || !strings.Contains(normal(wording), q.text) {
		return 0
	}
	return max(1, n/2)
}

var place = regexp.MustCompile(`\{\w+\}`)

// entry is how well a code of Drover fits: by its name, or by its message.
func (q query) entry(e fault.Entry) int {
	score := 0
	if strings.Contains(string(e.Code), "-") && q.words[string(e.Code)] {
		score = byCode
	}
	const shortMessage = 20 // letters; others' messages have as many in common with ours
	if n := q.fits(place.ReplaceAllString(e.Message, "*")); n >= shortMessage {
		score += n
	}
	return score
}
