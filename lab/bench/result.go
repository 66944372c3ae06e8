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
	TotalMS, MigrationMS int64
	// The blackout as the guest's heartbeat shows it, and as libvirt says.
	BlackoutGuestMS, BlackoutLibvirtMS int64
	// WireBytes crossed the link between the hosts, both directions, by the
	// kernel's counters of the interfaces.
	WireBytes int64
	// CPU seconds of all QEMUs, libvirt daemons and agents, guest included.
	CPUQEMU, CPULibvirt, CPUAgents float64
	// AgentPeak is the larger of the two agents' peak of resident memory.
	AgentPeak int64
	// Failed says why there is no result, "" for a move that went well; a guest
	// that did not converge within the limit is one.
	Failed string `json:",omitempty"`
}

// Content is what a guest's memory is made of, and how it compresses.
type Content struct {
	Guest       string  `json:"guest"`
	Description string  `json:"description"`
	MemoryBytes int64   `json:"memory_bytes"`
	ZeroShare   float64 `json:"zero_share"` // of all pages
	// Zstd1Ratio is of the pages that are not zero, with zstd -1.
	Zstd1Ratio float64 `json:"zstd1_ratio"`
	DirtyBytes float64 `json:"dirty_bytes_per_second"`
	// RestCPU are the CPU seconds per second that QEMU takes while the guest does
	// its work and nobody moves it: emulated guests are most of QEMU's CPU.
	RestCPU float64 `json:"rest_cpu"`
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
