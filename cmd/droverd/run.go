package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"drover/internal/agent"
	"drover/internal/config"
	"drover/internal/fault"
	"drover/internal/version"
)

// run is the program; the result is its exit status (docs/scripting.md).
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	f := fault.From(err)
	fmt.Fprintf(stderr, "droverd: %s\n", f)
	if f.Hint() != "" {
		fmt.Fprintf(stderr, "hint: %s\n", f.Hint())
	}
	return fault.ExitStatus(err)
}

func newCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "droverd",
		Short: "Host agent of Drover: moves VMs to and from this host",
		Long: `droverd is the agent that runs on every host. It talks to the local libvirt,
serves the management API on port 6601 and on a unix socket, and takes migration
traffic from other agents on port 6600 of the migration networks.

SIGTERM refuses new moves and lets running ones end within shutdown_timeout.`,
		Version:       version.String(),
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(path)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, cmd.ErrOrStderr())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fault.New(fault.Usage, "", "problem", err.Error()) })
	cmd.PersistentFlags().StringVar(&path, "config", config.DefaultPath, "configuration file")
	cmd.AddCommand(newCheckConfig(&path))
	return cmd
}

func newCheckConfig(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check-config",
		Short: "Read the configuration file, say what is wrong with it, and start nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(*path)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: valid; host %s; live migration is set with \"drover host set\"\n", *path, cfg.Host)
			return nil
		},
	}
}

func serve(ctx context.Context, cfg *config.Config, stderr io.Writer) error {
	notify := func(state string) func() {
		return func() { _, _ = daemon.SdNotify(false, state) }
	}
	return agent.Run(ctx, agent.Options{
		Config: cfg, Version: version.String(), Log: newLogger(cfg.Log, stderr), Inject: injector(), Now: clock(), LibvirtTimeout: patience(),
		Ready: notify(daemon.SdNotifyReady), Stopping: notify(daemon.SdNotifyStopping),
	})
}

func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // validated when the file was read
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
