package settings

// Rate is a bandwidth in bits per second; 0 is none.
type Rate uint64

// BytesPerSecond is the rate in bytes.
func (r Rate) BytesPerSecond() float64 { return float64(r) / 8 }
