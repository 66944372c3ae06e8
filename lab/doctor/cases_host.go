package doctor

import (
	"context"

	"drover/internal/fault"
	"drover/lab"
)

// otherAgent is the same agent by another version, which `make doctor-matrix` builds.
const otherAgent = "droverd-other"

func agents() []Case {
	start := func(ctx context.Context, w *World) error { return w.StartAgent(ctx, lab.HV02) }
	stop := func(ctx context.Context, w *World) error { _, err := w.StopAgent(ctx, lab.HV02); return err }
	const bin = lab.AssetsDir + "/bin/"
	return []Case{
		{Name: "agents: of different versions", Want: fault.VersionsDiffer, On: lab.HV02,
			Break:   all(stop, command(lab.HV02, "mount", "--bind", bin+otherAgent, bin+lab.DefaultAgent), start),
			Restore: all(stop, command(lab.HV02, "umount", bin+lab.DefaultAgent), start), Person: "which version is to be installed, an administrator decides"},
	}
}
