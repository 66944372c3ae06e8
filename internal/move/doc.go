// Package move is the state machine of a move, on both hosts. It is the only
// place that knows the order of phases.
//
//	queued ─ negotiate ─ authorise ─ prepare ─ connect ─ transfer ─ handover ─ finish ─ confirm ─ done
//	   │         │           │          │         │          │         ┊          ┊         ┊
//	   └─────────┴───────────┴──────────┴─────────┴──────────┘         ┊          ┊         ┊
//	                         │                                 no cancel from here on: the
//	              failed or cancelled: undo in reverse         destination's journal decides;
//	              order; the VM runs on at the source          while it cannot be read: unknown
//
// One edge goes back: from authorise to queued, when the destination is at its limit
// of simultaneous moves. A move that is queued holds nothing on either host, neither a
// place among its moves nor the VM: see queue.
//
// The promise of a move: on success the VM runs on the destination and not on
// the source. On an error before handover it runs on the source, and the
// destination keeps nothing. After handover the outcome is read from the
// destination's journal; while that cannot be read the move is unknown and
// neither side starts the VM by itself.
//
// Why that holds:
//   - The source journals handover before it says so to the destination. A
//     source whose journal has an earlier phase therefore knows that the
//     destination was never asked to run the VM, and takes it back at once.
//   - The destination journals finish before it lets the VM run, and abandoned
//     before it answers that it did not. Either is final for the move's id.
//   - A destination that loses the control stream before handover abandons.
//   - The source looks a last time that its guest stands still, on the connection
//     whose end is the end of libvirt's guard, before it says so.
//   - libvirt destroys an incoming VM when the connection that prepared it ends
//     before Finish, and never resumes a handed-over source VM by itself.
//   - After handover nothing but that word makes the source start the VM, not
//     even a journal of its own that fails: handover is in it, and that is
//     enough for a restart to ask and to come to the same end.
//
// One function, run.enter, changes the phase.
package move
