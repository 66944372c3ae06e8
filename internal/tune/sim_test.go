package tune

import (
	"math"
	"math/rand/v2"
	"time"
)

// sim is a pipeline in virtual time: a program that writes into a socket, a
// goroutine that reads blocks and folds them, threads that encode, a goroutine
// that writes in order into the buffer of a link, and processors that they share
// with a load that is none of theirs. Threads that can run get a processor each,
// or share them by their weight.
type sim struct {
	world
	total    float64 // bytes to carry
	change   func(w *world)
	changeAt float64 // part of total
	choose   func() Mode
	done     func(Block)

	rnd     *rand.Rand
	now     float64 // ns
	dt      float64
	idle    float64 // processors, of late
	used    float64
	sampled float64

	produced, taken, finished float64
	inSocket                  float64
	gather                    float64 // bytes of the block that is read
	mode                      Mode    // of that block
	gatherFrom                float64
	folding                   *job
	flight                    []*job
	inLink                    float64 // bytes in the link's buffer
	ready                     float64 // since when the writer has had nothing
	blocks                    int
}

// world is what the pipeline does not choose. Times are ns per byte.
type world struct {
	source     float64 // of the program that sends
	fold       float64
	encode     [modeCount]float64
	ratio      [modeCount]float64
	blip       float64 // part of the blocks that are random instead
	link       float64
	processors float64
	load       int     // threads that always want a processor
	nice       float64 // weight of encoders
	threads    int
	noise      bool
}

type job struct {
	b       Block
	fold    float64 // ns of work left
	encode  float64
	write   float64
	started [3]float64
	state   int // 0 folding, 1 to be encoded, 2 encoding, 3 encoded
	asleep  float64
	left    float64 // bytes of wire not yet written
}

const (
	simSocket = 208 << 10
	simSend   = 256 << 10
	simBlock  = 256 << 10
	simFolds  = 3 // blocks of that size, where they are folded
	simFlight = 6
)

// run returns how long it took, in seconds.
func (s *sim) run() float64 {
	s.rnd = rand.New(rand.NewPCG(1, 2))
	s.idle, s.dt = s.processors-min(float64(s.load), s.processors), s.step()
	for s.finished < s.total-float64(s.blocks)-4096 {
		if s.change != nil && s.taken >= s.changeAt*s.total {
			s.change(&s.world)
			s.change, s.dt = nil, s.step()
		}
		s.tick()
	}
	return s.now / 1e9
}

// step is short against a block.
func (s *sim) step() float64 {
	t := max(s.source, s.link*s.ratio[FoldMost], 0.25) * simBlock
	return min(max(t/20, 10e3), 300e3)
}

func (s *sim) tick() {
	share, light := s.shares()
	running := 0.0
	busy := func(part float64) { running += part }
	s.drain()
	busy(s.sourceRuns(share))
	busy(s.readerRuns(share))
	n := 0
	for _, j := range s.flight {
		if j.state == 1 && n < s.threads {
			j.state = 2
			j.started[1] = s.now
		}
		if j.state == 2 {
			n++
			busy(s.encoderRuns(j, light))
		}
	}
	busy(s.writerRuns(share))
	s.now += s.dt
	s.used += running
	if s.now-s.sampled >= 250e6 {
		mean := s.used * s.dt / (s.now - s.sampled)
		s.idle = max(0, s.processors-mean-float64(s.load))
		s.used, s.sampled = 0, s.now
	}
}

// shares are what a thread gets of a processor, and a nice one.
func (s *sim) shares() (share, light float64) {
	full, nice := float64(s.load), 0
	if s.produced < s.total-1 && s.inSocket < simSocket {
		full++
	}
	if s.folding != nil || s.inSocket > 0 && len(s.flight) < simFlight {
		full++
	}
	for _, j := range s.flight {
		if j.state == 2 || j.state == 1 && nice < s.threads {
			nice++
		}
	}
	if len(s.flight) > 0 && s.flight[0].state == 3 && s.inLink < simSend {
		full++
	}
	if full+float64(nice) <= s.processors {
		return 1, 1
	}
	share = s.processors / (full + s.nice*float64(nice))
	light = share * s.nice
	if share > 1 {
		share = 1
		light = min(1, (s.processors-full)/float64(max(nice, 1)))
	}
	return share, light
}

func (s *sim) drain() { s.inLink = max(0, s.inLink-s.dt/s.link) }

func (s *sim) sourceRuns(share float64) float64 {
	n := min(s.dt*share/s.source, simSocket-s.inSocket, s.total-s.produced)
	if n <= 0 {
		return 0
	}
	s.inSocket += n
	s.produced += n
	return n * s.source / s.dt
}

func (s *sim) readerRuns(share float64) float64 {
	budget := s.dt * share
	at := func() float64 { return s.now + s.dt*(1-budget/(s.dt*share)) }
	for budget > 0 {
		if j := s.folding; j != nil {
			w := min(budget, j.fold)
			j.fold -= w
			budget -= w
			if j.fold > 0 {
				break
			}
			if j.b.Fold == 0 {
				j.b.Fold = time.Duration(max(1, at()-j.started[0]))
			}
			if len(s.flight) >= simFlight {
				break
			}
			j.state = 1
			if j.encode == 0 {
				j.state = 3
			}
			s.flight = append(s.flight, j)
			s.folding, s.gather, s.gatherFrom = nil, 0, at()
			continue
		}
		if s.gather == 0 {
			s.mode = s.choose()
		}
		size := float64(simBlock)
		if s.mode.Folds() {
			size *= simFolds
		}
		n := min(budget/readCost, s.inSocket, size-s.gather)
		s.inSocket -= n
		s.gather += n
		budget -= n * readCost
		last := s.produced >= s.total-1 && s.inSocket < 1
		if s.gather >= size-1 || s.gather > 64<<10 && s.inSocket < 1 && len(s.flight) == 0 || last && s.gather > 4096 {
			s.begin(at())
			continue
		}
		if s.inSocket < 1 {
			break
		}
	}
	return (s.dt*share - budget) / s.dt
}

// begin makes a block of what was gathered.
func (s *sim) begin(now float64) {
	m := s.mode
	raw := int(math.Round(s.gather))
	ratio, fold, encode := s.ratio[m], 0.02, s.encode[m]
	if m.Folds() {
		fold = s.fold
	}
	if s.blip > 0 && s.rnd.Float64() < s.blip {
		ratio, encode = 1, encode/3
	}
	j := &job{fold: fold * float64(raw), encode: encode * float64(raw), left: ratio * float64(raw)}
	if s.noise {
		j.fold *= math.Exp(0.2 * s.rnd.NormFloat64())
		j.encode *= math.Exp(0.25 * s.rnd.NormFloat64())
		if s.rnd.Float64() < 0.01 {
			j.asleep = 5e6 * s.rnd.Float64()
		}
	}
	j.b = Block{Mode: m, Raw: raw, Wire: int(j.left), Wait: time.Duration(now - s.gatherFrom)}
	j.started[0] = now
	s.taken += float64(raw)
	s.folding = j
}

func (s *sim) encoderRuns(j *job, share float64) float64 {
	if j.asleep > 0 {
		j.asleep -= s.dt
		return 0
	}
	w := min(j.encode, s.dt*share)
	j.encode -= w
	j.b.Work += time.Duration(w)
	if j.encode <= 0 {
		j.state = 3
		j.b.Encode = time.Duration(s.now + w/share - j.started[1])
		j.started[2] = s.now + w/share
	}
	return w / s.dt
}

func (s *sim) writerRuns(share float64) float64 {
	budget := s.dt * share
	for budget > 0 && len(s.flight) > 0 && s.flight[0].state == 3 {
		j := s.flight[0]
		at := s.now + s.dt*(1-budget/(s.dt*share))
		if j.write == 0 {
			j.write = max(at, s.ready)
			j.b.Idle = time.Duration(max(0, at-s.ready))
		}
		n := min(j.left, budget/writeCost, simSend-s.inLink)
		s.inLink += n
		j.left -= n
		budget -= n * writeCost
		if j.left >= 1 {
			break
		}
		s.ready = s.now + s.dt*(1-budget/(s.dt*share))
		if s.inLink >= simSend-1 { // it was the link that it waited for
			s.ready = s.now + s.dt
		}
		j.b.Write = time.Duration(max(0, s.ready-j.write))
		s.flight = s.flight[1:]
		s.finished += float64(j.b.Raw)
		s.blocks++
		s.done(j.b)
	}
	return (s.dt*share - budget) / s.dt
}

// Encoders and Idle make it a Host.
func (s *sim) Encoders() float64 { return float64(s.threads) }
func (s *sim) Idle() float64     { return s.idle }
