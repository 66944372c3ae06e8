package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/doctor"
	"drover/internal/finding"
	"drover/internal/settings"
)

// hostComparison is hosts side by side.
type hostComparison struct {
	Hosts    []string      `json:"hosts"`
	Settings []comparedRow `json:"settings"`
	// Different counts the rows whose values are not all the same.
	Different int `json:"different"`
}

type comparedRow struct {
	Setting string   `json:"setting"`
	Values  []string `json:"values"` // in the order of the hosts
	Differs bool     `json:"differs"`
}

func newHostCompare(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "compare HOST...", Short: "Put the settings of hosts side by side and mark what differs",
		Long: `Put hosts side by side: their live migration settings, the versions of their
software and where they keep disks. What differs is marked. The exit status is 0
if all hosts are alike and 10 if something differs.`,
		Example: `  drover host compare HV01 HV02 HV03
  drover host compare HV01 HV02 -o json | jq '.settings[] | select(.differs)'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return fmt.Errorf("drover host compare needs at least two hosts")
			}
			return nil
		},
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error { return p.runHostCompare(ctx, args) }),
	}
}

func (p *program) runHostCompare(ctx context.Context, names []string) error {
	t := targets{hosts: names, socket: DefaultSocket}
	list, err := t.list()
	if err != nil {
		return err
	}
	if len(list) < 2 {
		return misuse("a host is compared with others, not with itself")
	}
	var infos []api.HostInfo
	for _, one := range list {
		err := p.with(ctx, one, func(a agent) error {
			h, err := a.Host(ctx)
			infos = append(infos, h)
			return err
		})
		if err != nil {
			return err
		}
	}
	c := compareHosts(infos)
	if p.out != table {
		err = p.out.write(p.stdout, c)
	} else {
		err = p.printHostComparison(c)
	}
	if err == nil && c.Different > 0 {
		err = severityStatus(finding.Warning)
	}
	return err
}

// compareHosts puts hosts side by side; the order of settings is that of Values.
func compareHosts(infos []api.HostInfo) hostComparison {
	var c hostComparison
	for i, h := range infos {
		c.Hosts = append(c.Hosts, h.Host)
		for j, v := range hostValues(h) {
			if i == 0 {
				c.Settings = append(c.Settings, comparedRow{Setting: v[0]})
			}
			c.Settings[j].Values = append(c.Settings[j].Values, v[1])
		}
	}
	for i, r := range c.Settings {
		if len(slices.Compact(slices.Clone(r.Values))) > 1 {
			c.Settings[i].Differs = true
			c.Different++
		}
	}
	return c
}

func hostValues(h api.HostInfo) (out [][2]string) {
	for _, v := range h.Migration.Settings.Values() {
		out = append(out, [2]string{v.Setting, v.Value})
	}
	return append(out, [2]string{"storage_roots", strings.Join(h.StorageRoots, " ")}, [2]string{"version", h.Version},
		[2]string{"libvirt_version", h.LibvirtVersion}, [2]string{"qemu_version", h.QEMUVersion},
		[2]string{"kvm", settings.Switch(h.KVM)}, [2]string{"time_zone", doctor.TimeZone{Winter: h.TimeZone.Winter, Summer: h.TimeZone.Summer}.String()})
}

func (p *program) printHostComparison(c hostComparison) error {
	var rows [][]string
	for _, r := range c.Settings {
		same := "same"
		if r.Differs {
			same = "DIFFERS"
		}
		rows = append(rows, append([]string{r.Setting, same}, r.Values...))
	}
	if err := grid(p.stdout, append([]string{"SETTING", ""}, c.Hosts...), rows); err != nil {
		return err
	}
	text := "The hosts are alike."
	if c.Different > 0 {
		text = count(c.Different, "setting") + " of " + fmt.Sprint(len(c.Settings)) + " differ. Bring them together: `drover host export`, then `drover host apply`."
	}
	_, err := fmt.Fprintln(p.stdout, text)
	return err
}
