package delegation

// NewPlan compares what is wanted with what is. Faults: usage,
// delegation-too-large, delegation-cross-domain, delegation-model-unavailable.
func NewPlan(in Intent, s State) (*Plan, error) { return nil, errNotBuilt }
