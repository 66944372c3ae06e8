package plan

import (
	"testing"

	"drover/internal/wire"
)

func TestConnections(t *testing.T) {
	const gbit = 1e9 / 8
	for _, c := range []struct {
		name     string
		link     Link
		n        int
		channels int
		why      string
	}{
		{"shut off", Link{Kind: wire.Offline, Asked: 4}, 0, 0, ""},
		{"asked", Link{Asked: 4, Rate: gbit}, 4, 4, "as asked for"},
		{"one asked is the plain stream", Link{Asked: 1, Networks: 2, Rate: 10 * gbit, Cores: 8}, 1, 0, "as asked for"},
		{"more than there can be", Link{Asked: 99}, 16, 16, "as asked for"},
		{"nothing known", Link{}, 1, 0, "not known to be a fast link"},
		{"known to be slow", Link{Networks: 1, Slow: true}, 1, 0, "less than 5 Gbit/s"},
		{"two networks known to be slow", Link{Networks: 2, Slow: true}, 2, 2, "2 networks, less than 5 Gbit/s"},
		{"slow", Link{Networks: 1, Rate: 0.1 * gbit, Cores: 8, TheirCores: 8}, 1, 0, "100 Mbit/s"},
		{"1 Gbit/s", Link{Networks: 1, Rate: 0.94 * gbit, Cores: 8, TheirCores: 8}, 1, 0, "940 Mbit/s"},
		{"below the threshold", Link{Networks: 1, Rate: 4.9 * gbit, Cores: 8, TheirCores: 8}, 1, 0, "4.9 Gbit/s"},
		{"10 Gbit/s as measured", Link{Networks: 1, Rate: 9.4 * gbit, Cores: 8, TheirCores: 8}, 2, 2, "9.4 Gbit/s"},
		{"10 Gbit/s", Link{Networks: 1, Rate: 10 * gbit, Cores: 8, TheirCores: 8}, 2, 2, "10 Gbit/s"},
		{"25 Gbit/s", Link{Networks: 1, Rate: 25 * gbit, Cores: 16, TheirCores: 12}, 5, 5, "25 Gbit/s"},
		{"few cores here", Link{Networks: 1, Rate: 25 * gbit, Cores: 2, TheirCores: 8}, 1, 0, "few cores, 25 Gbit/s"},
		{"few cores there", Link{Networks: 1, Rate: 25 * gbit, Cores: 8, TheirCores: 2}, 1, 0, "few cores, 25 Gbit/s"},
		{"cores not said there", Link{Networks: 1, Rate: 25 * gbit, Cores: 4}, 2, 2, "25 Gbit/s"},
		{"one core", Link{Networks: 1, Rate: 25 * gbit, Cores: 1, TheirCores: 8}, 1, 0, "few cores, 25 Gbit/s"},
		{"as many as are of use", Link{Networks: 1, Rate: 100 * gbit, Cores: 64, TheirCores: 64}, 8, 8, "100 Gbit/s"},
		{"two slow networks", Link{Networks: 2, Rate: 2 * gbit, Cores: 8, TheirCores: 8}, 2, 2, "2 networks, 2 Gbit/s"},
		{"two networks of unknown speed", Link{Networks: 2}, 2, 2, "2 networks"},
		{"two fast networks", Link{Networks: 2, Rate: 20 * gbit, Cores: 8, TheirCores: 8}, 4, 4, "2 networks, 20 Gbit/s"},
		{"an old host", Link{Networks: 2, Rate: 20 * gbit, Old: true}, 1, 0, "one of the hosts has no parallel connections"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, why := Connections(c.link)
			if n != c.n || why != c.why || Channels(n) != c.channels {
				t.Errorf("%d (%d channels), %q; want %d (%d), %q", n, Channels(n), why, c.n, c.channels, c.why)
			}
		})
	}
}
