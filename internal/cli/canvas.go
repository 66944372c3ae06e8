package cli

import (
	"fmt"
	"io"
	"strings"
)

// canvas is the part of a terminal that is drawn again over itself, and the lines
// that stay above it.
type canvas struct {
	screen *screen
	height int // lines on the screen that are ours
}

// redraw puts lines over those before; each fits into one of the screen's.
func (c *canvas) redraw(lines []string) {
	var b strings.Builder
	b.WriteString(c.up())
	for _, l := range lines {
		b.WriteString("\r" + l + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	c.height = len(lines)
	_, _ = io.WriteString(c.screen.w, b.String())
}

func (c *canvas) up() string {
	if c.height == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA", c.height)
}

// clear takes the lines away, before a question or the result.
func (c *canvas) clear() {
	if c.height > 0 {
		_, _ = io.WriteString(c.screen.w, c.up()+"\r\x1b[J")
	}
	c.height = 0
}

// notice prints a line that stays.
func (c *canvas) notice(text string) {
	c.clear()
	text = clean(text)
	if c.screen.terminal {
		width, _ := c.screen.size()
		text = c.screen.paint(yellow, strings.TrimSuffix(wrapped(text, "", width), "\n"))
	}
	_, _ = fmt.Fprintln(c.screen.w, text)
}
