package cli

import (
	"bytes"
	"testing"
)

// TestNoticesWaitForTheQuestion: what is told while the terminal is asked something
// is shown once the question is closed, in its order.
func TestNoticesWaitForTheQuestion(t *testing.T) {
	var out bytes.Buffer
	p := newProgram(nil, &out, &out)
	f := &follower{p: p, draw: &liner{w: &out}}
	f.question = newQuestion(p, &f.wg)
	f.question.stop = func() {} // as if one were open
	f.notice("first")
	f.notice("second")
	if out.Len() > 0 {
		t.Errorf("shown beside the question: %q", out.String())
	}
	f.tell(f.question.close())
	f.notice("third")
	if got := out.String(); got != "first\nsecond\nthird\n" {
		t.Errorf("%q", got)
	}
}
