package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"drover/lab"
)

// unshaped is the name of the link without a limit.
const unshaped = "unshaped"

var (
	allLinks   = []string{"100M", "1G", "10G", unshaped}
	quickLinks = []string{"1G", unshaped}
)

// selectLinks reads names of links; none stands for all, or for those of a quick run.
func selectLinks(names []string, quick bool) ([]Link, error) {
	if len(names) == 0 {
		names = map[bool][]string{false: allLinks, true: quickLinks}[quick]
	}
	var links []Link
	for _, n := range names {
		l, err := parseLink(n)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(links, func(o Link) bool { return o.Name == l.Name }) {
			return nil, fmt.Errorf("link %s is there twice", n)
		}
		links = append(links, l)
	}
	return links, nil
}

// parseLink reads "100M", "2G" or "unshaped".
func parseLink(name string) (Link, error) {
	if name == unshaped {
		return Link{Name: name}, nil
	}
	rate := strings.NewReplacer("M", "mbit", "G", "gbit").Replace(name)
	bits, err := lab.ParseRate(rate)
	if err != nil || rate == name {
		return Link{}, fmt.Errorf("link %q: write it as 100M, 1G, 10G or %s", name, unshaped)
	}
	return Link{Name: name, Shaped: bits}, nil
}

// forStorage tells whether the storage move is measured on the link by default.
func (l Link) forStorage() bool { return slices.Contains(quickLinks, l.Name) }

// shape sets the link up, and measures it the first time.
func (b *bench) shape(ctx context.Context, l Link) error {
	if err := b.lab.SetRate(ctx, lab.Migration, l.Shaped); err != nil {
		return err
	}
	if slices.ContainsFunc(b.report.Links, func(o Link) bool { return o.Name == l.Name }) {
		return nil
	}
	var err error
	if l.Measured, err = throughput(ctx, b.lab.Member(lab.HV01), b.lab.Member(lab.HV02)); err != nil {
		return err
	}
	b.say("link %s carries %.0f Mbit/s in one TCP connection", l.Name, l.Measured/1e6)
	b.report.Links = append(b.report.Links, l)
	return nil
}

// throughput is what one TCP connection on the migration network carries, in bits
// per second, once it has got going.
func throughput(ctx context.Context, from, to *lab.Member) (float64, error) {
	const warm, span = 500 * time.Millisecond, 1500 * time.Millisecond
	listener, err := to.Listen(ctx, "tcp4", to.Address(lab.Migration)+":0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	out, err := from.Dial(ctx, "tcp4", listener.Addr().String())
	if err != nil {
		return 0, err
	}
	defer out.Close()
	in, err := listener.Accept()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	sent := make(chan error, 1)
	go func() { sent <- flood(out, warm+span) }()
	bits, err := drain(in, warm)
	return bits, errors.Join(err, <-sent)
}

func flood(c net.Conn, span time.Duration) error {
	defer c.Close()
	block := make([]byte, 256<<10)
	for end := time.Now().Add(span); time.Now().Before(end); {
		if _, err := c.Write(block); err != nil {
			return err
		}
	}
	return nil
}

// drain gives the rate at which bytes arrived from when warm was over to the end.
func drain(c net.Conn, warm time.Duration) (float64, error) {
	block := make([]byte, 256<<10)
	begin := time.Now()
	var from, last time.Time
	var bytes int64
	for {
		n, err := c.Read(block)
		now := time.Now()
		switch {
		case errors.Is(err, io.EOF):
			if bytes == 0 {
				return 0, errors.New("nothing arrived")
			}
			return float64(bytes) * 8 / last.Sub(from).Seconds(), nil
		case err != nil:
			return 0, err
		case from.IsZero() && now.Sub(begin) >= warm:
			from = now
		case !from.IsZero():
			bytes, last = bytes+int64(n), now
		}
	}
}
