package admit

import (
	"fmt"
	"slices"
)

// rewriteCPU reads the CPU, after putting the operator's model in its place.
func (p Policy) rewriteCPU(root *node, a *Admitted) error {
	cpu := root.kid("cpu")
	if p.CPU != "" {
		if !kinds["@token"](p.CPU) {
			return &refused{fmt.Sprintf("the CPU model %q", shorten(p.CPU))}
		}
		if cpu == nil {
			cpu = &node{name: "cpu"}
			root.kids = append(root.kids, cpu)
		}
		replaceModel(cpu, p.CPU)
	}
	if cpu != nil {
		a.CPUMode, a.CPUXML = cpu.attr("mode"), cpu.write()
	}
	return nil
}

// replaceModel leaves of a CPU what the guest is sized by: its topology and its
// NUMA cells. Features belong to the old model.
func replaceModel(cpu *node, model string) {
	cpu.attrs = []attr{{"mode", "custom"}, {"match", "exact"}, {"check", "partial"}}
	cpu.remove(func(k *node) bool { return k.name != "topology" && k.name != "numa" })
	cpu.kids = slices.Insert(cpu.kids, 0, &node{name: "model", text: model, attrs: []attr{{"fallback", "forbid"}}})
}

// places reads where on its host the VM wants to be: CPUs, nodes, huge pages.
func places(root *node, a *Admitted) error {
	add := func(to *[]string, v string) {
		if v != "" {
			*to = appendNew(*to, v)
		}
	}
	if v := root.kid("vcpu"); v != nil {
		add(&a.CPUSets, v.attr("cpuset"))
	}
	if t := root.kid("cputune"); t != nil {
		for _, k := range t.kids {
			add(&a.CPUSets, k.attr("cpuset"))
		}
	}
	if t := root.kid("numatune"); t != nil {
		for _, k := range t.kids {
			add(&a.NUMANodes, k.attr("nodeset"))
		}
	}
	huge := root.kid("memoryBacking").kid("hugepages")
	if huge == nil {
		return nil
	}
	for _, page := range huge.all("page") {
		size, err := scaled(page.attr("size"), page.attr("unit"))
		if err != nil {
			return err
		}
		a.HugePages = append(a.HugePages, size)
	}
	if len(a.HugePages) == 0 {
		a.HugePages = []uint64{0}
	}
	return nil
}
