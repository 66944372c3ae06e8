package bench

import (
	"bytes"
	"testing"

	"drover/internal/guest"
)

// machineFiles are half of what the guests of a lab carry, of this machine.
func machineFiles(t *testing.T) guest.Files {
	t.Helper()
	files, err := guest.CollectFiles(guest.MachineRoots(), guest.FilesSizes{Text: 8 << 20, Code: 12 << 20, Log: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// The guests compress about as the memory of servers does, and change as their
// profiles say: content that flatters a codec would show here.
func TestProfilesAreRealistic(t *testing.T) {
	files := machineFiles(t)
	for _, profile := range guest.Profiles() {
		mix := profile.Params.Mix
		profile.Params.Memory /= 4
		f, err := Compose(t.Context(), profile, files)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %+v", profile.Name, *f)
		if f.Zstd1Ratio < 1.8 || f.Zstd1Ratio > 3.5 {
			t.Errorf("%s: zstd -1 gives %.2f", profile.Name, f.Zstd1Ratio)
		}
		if d := f.ZeroShare - float64(mix.Zero)/100; d < -0.05 || d > 0.05 {
			t.Errorf("%s: %.2f of the pages are zero", profile.Name, f.ZeroShare)
		}
		switch profile.Name {
		case "build":
			// What is not whole is a zero page that was zero before.
			if f.WholeShare < 0.75 {
				t.Errorf("build: %.2f of the pages change as a whole", f.WholeShare)
			}
		default:
			want := 1 - float64(profile.Params.Partial)/100
			if f.WholeShare < want-0.1 || f.WholeShare > want+0.1 || f.PartialBytes < 32 || f.PartialBytes > 512 {
				t.Errorf("%s: %.2f change as a whole, %.0f bytes of the others", profile.Name, f.WholeShare, f.PartialBytes)
			}
		}
	}
}

func TestMeasureTellsZeroPagesApart(t *testing.T) {
	memory := make([]byte, 8*guest.PageSize)
	for i := range 2 * guest.PageSize {
		memory[i] = byte(i >> 3)
	}
	zeros, ratio, by, err := Measure(t.Context(), bytes.NewReader(memory))
	if err != nil || zeros != 0.75 || ratio < 2 || by == "" {
		t.Errorf("%v zero, ratio %v, %q, %v", zeros, ratio, by, err)
	}
	if zeros, ratio, _, err := Measure(t.Context(), bytes.NewReader(nil)); err != nil || zeros != 0 || ratio != 0 {
		t.Errorf("nothing: %v, %v, %v", zeros, ratio, err)
	}
}
