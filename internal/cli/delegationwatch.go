package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"drover/internal/audit"
	"drover/internal/directory"
)

type delegationWatchOptions struct {
	directory      directoryFlags
	policy         string
	interval, full time.Duration
	listen         string
}

func newDelegationWatch(p *program) *cobra.Command {
	var o delegationWatchOptions
	cmd := &cobra.Command{
		Use:   "watch --policy FILE",
		Short: "Compare the directory with a policy again and again",
		Long: `Compare the directory with a policy as "audit" does, and then again whenever it
changed: what is not as it should be is told when it appears, and when it is cured.
Each event is one line, with -o json one JSON object per line. Only what changed is
read, so that a quiet directory costs one small search per interval. It runs until
SIGINT or SIGTERM, which is a good end.

With --listen, figures for Prometheus are at /metrics of that address. They need no
sign-in and name no account; listen where only those may connect who may see them.`,
		Example: `  drover delegation watch --policy /etc/drover/policy.yaml
  drover delegation watch --policy policy.yaml --interval 10s --listen 127.0.0.1:9603 -o json`,
		Args: noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error { return p.runDelegationWatch(ctx, o) }),
	}
	o.directory.add(cmd.Flags())
	cmd.Flags().StringVar(&o.policy, "policy", "", "`FILE` that says what ought to be; - is standard input")
	cmd.Flags().DurationVar(&o.interval, "interval", 30*time.Second, "`time` between two looks")
	cmd.Flags().DurationVar(&o.full, "full", time.Hour, "`time` between two complete readings")
	cmd.Flags().StringVar(&o.listen, "listen", "", "`address` and port for Prometheus, such as 127.0.0.1:9603; default: none")
	return cmd
}

func (o delegationWatchOptions) check(out format) error {
	switch {
	case out == yamlForm:
		return misuse("a watch prints lines: -o table or -o json")
	case o.interval < time.Second:
		return misuse("--interval %s is too short; a second is the least", o.interval)
	case o.full < o.interval:
		return misuse("--full %s is shorter than --interval %s", o.full, o.interval)
	}
	return nil
}

func (p *program) runDelegationWatch(ctx context.Context, o delegationWatchOptions) error {
	if err := o.check(p.out); err != nil {
		return err
	}
	policy, err := p.readPolicy(o.policy)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := audit.NewMetrics(registry)
	if o.listen != "" {
		end, err := serveMetrics(o.listen, registry, stop)
		if err != nil {
			return err
		}
		defer end()
	}
	err = audit.Watch(ctx, policy, audit.WatchOptions{Interval: o.interval, Full: o.full, Now: p.now, Connect: p.reconnecting(o.directory),
		Sink: func(e audit.Event) {
			metrics.Observe(e)
			if err := p.writeEvent(e); err != nil {
				stop(fmt.Errorf("write the result: %w", err))
			}
		}})
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// reconnecting gives what makes a connection, any number of times. The ticket is
// read anew each time, since it was renewed meanwhile; a password can be asked for
// only once.
func (p *program) reconnecting(f directoryFlags) func(context.Context) (audit.Directory, func(), error) {
	var known *directory.Options
	return func(ctx context.Context) (audit.Directory, func(), error) {
		if known == nil || f.simpleBind == "" {
			o, err := p.directoryOptions(ctx, f)
			if err != nil {
				return nil, nil, err
			}
			known = &o
		}
		c, err := directory.Dial(ctx, *known)
		if err != nil {
			return nil, nil, err
		}
		return c, func() { _ = c.Close() }, nil
	}
}

// serveMetrics serves until end is called. When serving fails, failed is told.
func serveMetrics(address string, registry *prometheus.Registry, failed func(error)) (end func(), err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, misuse("--listen %s: %v", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed(fmt.Errorf("serve metrics: %w", err))
		}
	}()
	return func() {
		_ = server.Close()
		<-done
	}, nil
}

// writeEvent prints what a person or a script has to know. That one more look is
// over is for the metrics only.
func (p *program) writeEvent(e audit.Event) error {
	if e.Kind == audit.Round {
		return nil
	}
	if p.out == table {
		return printEvent(p.stdout, e)
	}
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(e)
}

func printEvent(w io.Writer, e audit.Event) error {
	text := e.Error
	if f := e.Finding; f.Code != "" {
		text = fmt.Sprintf("%-8s %s %s: %s", f.Severity, f.Code, f.Object, f.Message)
	}
	_, err := fmt.Fprintf(w, "%s %-8s %s\n", e.Time.UTC().Format(time.RFC3339), e.Kind, clean(text))
	return err
}
