// Package bench measures moves in the lab: the same guest, moved in turn by
// libvirt alone, by a plain relay, and by Drover. `drover-lab bench` runs it.
package bench

// Way is one way to move a VM.
type Way struct {
	Name string `json:"name"` // e.g. libvirt-multifd-zstd, drover-compression
	// Peer is what Drover is compared with; Encrypted and Storage say what it does.
	Peer      bool `json:"peer"`
	Encrypted bool `json:"encrypted"`
}

// Sample is one move. Times in milliseconds, sizes in bytes; a value that could
// not be measured is below 0.
type Sample struct {
	Way   string `json:"way"`
	Guest string `json:"guest"`
	Link  string `json:"link"` // 100M, 1G, 10G, unshaped
	Round int    `json:"round"`
	// Total is from the operator's command to its end, Migration what libvirt says
	// the transfer took.
	TotalMS     int64 `json:"total_ms"`
	MigrationMS int64 `json:"migration_ms"`
	// The blackout as the guest's heartbeat shows it, and as libvirt says.
	BlackoutGuestMS   int64 `json:"blackout_guest_ms"`
	BlackoutLibvirtMS int64 `json:"blackout_libvirt_ms"`
	// WireBytes crossed the link between the hosts, both directions, by the
	// kernel's counters of the interfaces.
	WireBytes int64 `json:"wire_bytes"`
	// CPU seconds of all QEMUs, libvirt daemons and agents, guest included.
	CPUQEMU    float64 `json:"cpu_qemu_seconds"`
	CPULibvirt float64 `json:"cpu_libvirt_seconds"`
	CPUAgents  float64 `json:"cpu_agents_seconds"`
	// AgentPeak is the larger of the two agents' peak of resident memory.
	AgentPeak int64 `json:"agent_peak_bytes"`
	// Failed says why there is no result, "" for a move that went well; a guest
	// that did not converge within the limit is one.
	Failed string `json:"failed,omitempty"`
	// Detail is what Drover chose: connections and codec.
	Detail string `json:"detail,omitempty"`
}

// Content is what a guest's memory is made of, how it compresses and how it changes.
type Content struct {
	Guest       string `json:"guest"`
	Description string `json:"description"`
	// All of the guest's memory, its kernel and free pages too, as QEMU had it.
	MemoryBytes int64   `json:"memory_bytes"`
	DiskBytes   int64   `json:"disk_bytes,omitempty"` // allocated, of the storage move
	ZeroShare   float64 `json:"zero_share"`           // of all pages
	// Zstd1Ratio is of the pages that are not zero, by Compressor.
	Zstd1Ratio float64 `json:"zstd1_ratio"`
	Compressor string  `json:"compressor,omitempty"` // such as "zstd 1.5.4 -1"
	// The part of it that the guest's program fills, rewrites and verifies, by what
	// the same code gives on the host (Compose).
	Filled *Filled `json:"filled,omitempty"`
	// DirtyBytes is what the guest rewrote per second, as it says itself
	// (guest.DirtyRate), in whole pages.
	DirtyBytes float64 `json:"dirty_bytes_per_second"`
	// RestCPU are the CPU seconds per second that QEMU takes while the guest does
	// its work and nobody moves it: emulated guests are most of QEMU's CPU.
	RestCPU float64 `json:"rest_cpu"`
}

// Filled is the memory that the guest's program fills.
type Filled struct {
	Mix        string  `json:"mix"` // shares in percent, as guest.Mix has them
	Bytes      int64   `json:"bytes"`
	ZeroShare  float64 `json:"zero_share"`
	Zstd1Ratio float64 `json:"zstd1_ratio"` // of the pages that are not zero, by Compressor
	Compressor string  `json:"compressor"`
	// Of pages that are rewritten: the share in which more than a quarter of the
	// bytes change, and how many bytes change on average in the others.
	WholeShare   float64 `json:"whole_share"`
	PartialBytes float64 `json:"partial_bytes"`
}

// Link is a speed of the network between the hosts, and what one TCP connection
// over it carried before the first move, in bits per second.
type Link struct {
	Name     string  `json:"name"`             // as in Sample.Link
	Shaped   uint64  `json:"shaped,omitempty"` // 0: not shaped
	Measured float64 `json:"measured"`
}

// Report is build/bench.json.
type Report struct {
	Versions map[string]string `json:"versions"` // QEMU, libvirt, Drover, kernel, Go, cores
	Started  string            `json:"started"`
	Rounds   int               `json:"rounds"`
	Ways     []Way             `json:"ways"`
	Links    []Link            `json:"links"`
	// Unavailable says of ways that this QEMU or libvirt does not have why.
	Unavailable map[string]string `json:"unavailable,omitempty"`
	Guests      []Content         `json:"guests"`
	Samples     []Sample          `json:"samples"`
}
