package guest

import "fmt"

// Profile is a guest of the benchmark: a kind of server, described so that what
// was measured can be judged. What the shares and changes are is measured by
// package bench and published beside the results; none of it was chosen by what
// a way of moving does well.
type Profile struct {
	// Name is idle, database or build; Description one sentence.
	Name, Description string
	// MemoryMiB is the domain's memory.
	MemoryMiB int
	// Params lack Name and Addr.
	Params Params
}

// Profiles are the benchmark's guests.
//
// All three have 44 MiB of the building machine's real files in their page cache
// (FilesDir), beside Params.Memory, whose pages are made of these files, rows and
// random bytes. Of those no two are alike but zero ones, for each has its own header.
// Free memory is zero.
//
//   - idle: page cache and a few processes. Three rewrites in four change a part of a
//     page (some fields of 1 to 4 rows, or a line of a log), the fourth replaces the page;
//     nine in ten of them fall on a twentieth of the heap and the logs.
//   - database: 62 % is a heap of rows. Eight rewrites in ten fall on two tenths of it.
//     85 % change 1 to 8 of a page's 31 rows, of these rows 70 % in some fields and 30 %
//     throughout; 15 % are whole new pages, as appending makes them.
//   - build: memory is buffers of 64 KiB, which are overwritten as a whole, each time
//     with anything of the mix: so nothing that was sent helps with what comes.
//     Nine rewrites in ten fall on half of them.
func Profiles() []Profile {
	idle := DefaultParams()
	idle.Memory, idle.Rewrite, idle.Verify, idle.Files = 240<<20, 768<<10, 16<<20, true
	idle.Mix = Mix{Zero: 12, Text: 18, Code: 32, Random: 14, Log: 8, Heap: 16}
	idle.Partial, idle.Skew, idle.Rows = 75, Skew{Rewrites: 90, Pages: 5}, 4

	db := DefaultParams()
	db.Memory, db.Rewrite, db.Verify, db.Files = 240<<20, 50<<20, 16<<20, true
	db.Mix = Mix{Zero: 10, Text: 4, Code: 12, Random: 8, Log: 4, Heap: 62}
	db.Partial, db.Skew, db.Rows = 85, Skew{Rewrites: 80, Pages: 20}, 8

	build := DefaultParams()
	build.Memory, build.Rewrite, build.Verify, build.Files = 144<<20, 200<<20, 4<<20, true
	build.Mix = Mix{Zero: 14, Text: 30, Code: 30, Random: 10, Log: 4, Heap: 12}
	build.Partial, build.Skew, build.Buffer = 0, Skew{Rewrites: 90, Pages: 50}, 64<<10

	return []Profile{
		{Name: "idle", Description: "idle server: page cache and a few processes; 0.75 MiB/s, 90 % of it in 5 % of heap and logs; three rewrites in four change 1 to 4 rows or a log line, the fourth all of a page", MemoryMiB: 512, Params: idle},
		{Name: "database", Description: "in-memory database; 50 MiB/s, 80 % of it in 20 % of the heap; 85 % change 1 to 8 of the 31 rows of a page, 15 % are whole new pages", MemoryMiB: 512, Params: db},
		{Name: "build", Description: "build machine; 200 MiB/s in whole buffers of 64 KiB, 90 % of it in half of them, each time with other content: source, object code, packed data, zeros", MemoryMiB: 384, Params: build},
	}
}

// ProfileByName is one of Profiles, or an error that names them all.
func ProfileByName(name string) (Profile, error) {
	var names []string
	for _, p := range Profiles() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("no guest profile %q: there are %v", name, names)
}

// DirtyRate is the bytes per second in which pages were rewritten between two
// answers of one guest, by its own clock; 0 where they are in no order.
func DirtyRate(earlier, later Status) float64 {
	seconds := float64(later.UptimeNs-earlier.UptimeNs) / 1e9
	if seconds <= 0 || later.Memory.Rewritten < earlier.Memory.Rewritten {
		return 0
	}
	return float64(later.Memory.Rewritten-earlier.Memory.Rewritten) * PageSize / seconds
}
