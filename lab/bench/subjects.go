package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"drover/internal/guest"
)

// subject is a guest that is moved.
type subject struct {
	name, description string
	memoryMiB         int
	params            guest.Params
	disk              bool // its disk moves too
	quick             bool

	bytes int64 // to be sent once at least, as seen
}

// quickGuests are those of a quick run.
var quickGuests = []string{"idle", "database"}

// subjects are the guests whose memory is moved.
func subjects() []subject {
	var all []subject
	for _, p := range guest.Profiles() {
		all = append(all, subject{name: p.Name, description: p.Description, memoryMiB: p.MemoryMiB, params: p.Params,
			quick: slices.Contains(quickGuests, p.Name)})
	}
	return all
}

// storageSubject has little memory and a large disk.
func storageSubject() subject {
	p := guest.DefaultParams()
	// Few records: the ring must not reach the content of the disk.
	p.Memory, p.Rewrite, p.Record = 64<<20, 1<<20, 200*time.Millisecond
	return subject{
		name: "storage", memoryMiB: 256, params: p, disk: true,
		description: fmt.Sprintf("a disk of %d GiB, of which %d MiB are allocated; little memory", diskBytes>>30, contentBytes>>20),
	}
}

// selectSubjects gives the guests of these names; none stands for all whose memory
// is moved, or for those of a quick run. With storage, that of the storage move comes too.
func selectSubjects(names []string, quick, storage bool) ([]subject, error) {
	all := append(subjects(), storageSubject())
	known := make([]string, len(all))
	for i, s := range all {
		known[i] = s.name
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("no guest %q: there are %s", n, strings.Join(known, ", "))
		}
	}
	var chosen []subject
	for _, s := range all {
		named := slices.Contains(names, s.name)
		byDefault := len(names) == 0 && !s.disk && (s.quick || !quick)
		if named || byDefault || s.disk && storage {
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}
