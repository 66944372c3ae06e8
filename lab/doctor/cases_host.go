package doctor

import (
	"context"

	"drover/internal/fault"
	"drover/lab"
)

// otherAgent is the same agent by another version, which `make doctor-matrix` builds.
const otherAgent = "droverd-other"

func agents() []Case {
	restart := func(ctx context.Context, w *World) error { return w.RestartAgent(ctx, lab.HV02) }
	const bin = lab.AssetsDir + "/bin/"
	return []Case{
		{Name: "agents: of different versions", Want: fault.VersionsDiffer, On: lab.HV02,
			Break:   all(command(lab.HV02, "mount", "--bind", bin+otherAgent, bin+lab.DefaultAgent), restart),
			Restore: all(command(lab.HV02, "umount", bin+lab.DefaultAgent), restart), Person: "which version is to be installed, an administrator decides"},
	}
}
