package cli

import (
	"context"
	"fmt"
	"sync"
)

// question is what Ctrl-C asks while moves go on. One is open at a time; what
// would be told meanwhile is kept until it is closed.
type question struct {
	p       *program
	wg      *sync.WaitGroup // has the reader of the answer
	answers chan answer
	stop    context.CancelFunc // nil when none is open
	kept    []string
}

type answer struct {
	text string
	err  error
}

func newQuestion(p *program, wg *sync.WaitGroup) *question {
	return &question{p: p, wg: wg, answers: make(chan answer, 1)}
}

func (q *question) open() bool { return q.stop != nil }

// ask opens the question; its answer comes by answers.
func (q *question) ask(ctx context.Context, text string) {
	ctx, q.stop = context.WithCancel(ctx)
	q.wg.Go(func() {
		got, err := q.p.asker.ask(ctx, text)
		q.answers <- answer{got, err}
	})
}

// close ends a question whose answer was taken, and gives what was kept.
func (q *question) close() []string {
	q.stop()
	q.stop = nil
	kept := q.kept
	q.kept = nil
	return kept
}

// withdraw ends the question, if one is open, and waits for its reader.
func (q *question) withdraw() []string {
	if !q.open() {
		return nil
	}
	q.stop()
	<-q.answers
	_, _ = fmt.Fprintln(q.p.stderr)
	return q.close()
}
