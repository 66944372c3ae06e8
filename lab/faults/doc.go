// Package faults breaks things under moves in the lab, watches what becomes of the
// guest, and says so in a report. `drover-lab faults` runs it.
//
// What it is made of, of use also to others who break things:
//
//   - Target is where: a lab, source and destination, the VM, the move. Fault is one
//     thing that can go wrong there, Apply brings it about, Undo repairs it. Faults
//     lists all, ByName finds one.
//   - Furnish readies a host before its agent starts: disks and journal on file
//     systems of their own, so that they can be full, and its programs in a control
//     group, so that they can be out of memory. StartAgent and StartLibvirt are the
//     lab's, for a furnished host; an agent of them can be held.
//   - Point is a phase of one side. Hold has the agent stand there in its next move,
//     Standing waits until it does, Release lets it go on. Needs bin/droverd-faultinject
//     (build tag faultinject).
//   - Guard counts the running copies of one VM at every instant, from what leaves each
//     host of the guest's heartbeats and from each host's libvirt.
//   - Inspect lists what a host has that it had not when Baseline was taken and that
//     belongs to no VM which lives there; what libvirt itself has forgotten is apart.
package faults
