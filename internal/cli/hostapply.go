package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/fault"
	"drover/internal/settings"
)

type hostApplyOptions struct {
	targets   targets
	plan, yes bool
}

func newHostApply(p *program) *cobra.Command {
	var o hostApplyOptions
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Bring hosts to a template of settings: plan, apply, verify",
		Long: `Bring hosts to a template that "drover host export" has written (- is standard
input). What differs is shown first, and asked about. It is applied only if the
settings are still those that were shown, and then read back and compared. What the
template does not name stays as it is. To apply twice changes nothing more.`,
		Example: `  drover host apply hosts.yaml --host HV02 --host HV03 --plan
  drover host apply hosts.yaml --host HV02 --host HV03 --yes`,
		Args: oneArg("a file with a template"),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.runHostApply(ctx, o, args[0])
		}),
	}
	o.targets.flags(cmd.Flags())
	cmd.Flags().BoolVar(&o.plan, "plan", false, "show what would change and end")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	return cmd
}

func (p *program) runHostApply(ctx context.Context, o hostApplyOptions, file string) error {
	list, err := o.targets.list()
	if err != nil {
		return err
	}
	ch, err := p.readTemplate(file)
	if err != nil {
		return err
	}
	results := newResults(list)
	if err := p.onEach(ctx, results, func(a agent, r *hostResult) error { return planTemplate(ctx, a, r, ch) }); err != nil {
		return err
	}
	changed := 0
	for _, r := range results {
		if len(r.Changes) > 0 {
			changed++
		}
	}
	if err := p.printTemplatePlan(results); err != nil {
		return err
	}
	if changed == 0 || o.plan {
		return p.finish(results)
	}
	if err := p.asker.confirm(ctx, o.yes, fmt.Sprintf("Change the settings of %s?", count(changed, "host"))); err != nil {
		return err
	}
	err = p.onEach(ctx, results, func(a agent, r *hostResult) error {
		if len(r.Changes) == 0 {
			return nil
		}
		return p.applyTemplate(ctx, a, r, ch)
	})
	if err != nil {
		return err
	}
	return p.finish(results)
}

func (p *program) readTemplate(path string) (settings.Change, error) {
	var in io.Reader = p.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return settings.Change{}, fault.New(fault.TemplateInvalid, "", "file", path, "problem", openReason(err))
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, settings.MaxTemplate+1))
	if err != nil {
		return settings.Change{}, fault.New(fault.TemplateInvalid, "", "file", path, "problem", openReason(err))
	}
	ch, err := settings.ParseTemplate(b)
	if err != nil {
		return ch, fault.New(fault.TemplateInvalid, "", "file", path, "problem", strings.TrimSpace(err.Error()))
	}
	return ch, nil
}

// planTemplate finds what the template would change.
func planTemplate(ctx context.Context, a agent, r *hostResult, ch settings.Change) error {
	now, err := a.Settings(ctx)
	if err != nil {
		return err
	}
	want, err := now.Apply(r.Host, ch)
	if err != nil {
		return err
	}
	r.Revision, r.Settings, r.Changes = now.Revision, &now, settings.Diff(now, want)
	return nil
}

// applyTemplate changes what was planned on a host whose settings are still those
// that were looked at, and reads back what it has then.
func (p *program) applyTemplate(ctx context.Context, a agent, r *hostResult, ch settings.Change) error {
	want, err := r.Settings.Apply(r.Host, ch)
	if err != nil {
		return err
	}
	ch.IfRevision = &r.Revision
	if _, err := a.ChangeSettings(ctx, ch); err != nil {
		return err
	}
	now, err := a.Settings(ctx)
	if err != nil {
		return err
	}
	if wrong := settings.Diff(want, now); len(wrong) > 0 {
		return fault.New(fault.SettingsChanged, r.Host, "have", fmt.Sprint(now.Revision), "want", fmt.Sprint(want.Revision))
	}
	r.Revision, r.Settings, r.Applied = now.Revision, &now, true
	if p.out != table {
		return nil
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %s changed and verified\n", r.Host, count(len(r.Changes), "setting"))
	return err
}

func (p *program) printTemplatePlan(results []*hostResult) error {
	if p.out != table {
		return nil
	}
	if rows := changeRows(results); len(rows) > 0 {
		if err := grid(p.stdout, []string{"HOST", "SETTING", "IS", "WILL BE"}, rows); err != nil {
			return err
		}
	}
	for _, r := range results {
		if r.err == nil && len(r.Changes) == 0 {
			if _, err := fmt.Fprintf(p.stdout, "%s: nothing to change\n", r.Host); err != nil {
				return err
			}
		}
	}
	return nil
}
