package virt

import (
	"context"
	"errors"
	"fmt"
	"time"

	lv "github.com/digitalocean/go-libvirt"
)

// dirtyRatePoll is how often the end of a measurement is asked for, once its period
// is over, and dirtyRateGrace how much longer than that it may take.
const (
	dirtyRatePoll  = 15 * time.Millisecond
	dirtyRateGrace = time.Second
)

// errNotMeasured: QEMU gave no result in time.
var errNotMeasured = errors.New("the measurement has not ended")

// DirtyRate is how much of its memory the guest changes, bytes per second,
// measured by QEMU for the period (whole seconds, at least one). A page counts
// once however often it changes within the period.
//
// QEMU compares checksums of a sample of the pages (512 per GiB), which costs
// next to nothing and does not track the guest; so the result is coarse: with
// 256 MiB its unit is 2 MiB/s. The other two ways that libvirt offers, dirty
// bitmap and dirty ring, are not used: the former ended QEMU 7.2 with its
// guest, see docs/facts/libvirt.md. A migration may begin meanwhile: checksums
// of pages do not touch what it tracks.
func (h *Host) DirtyRate(ctx context.Context, vm string, period time.Duration) (float64, error) {
	seconds := int32(max(period/time.Second, 1))
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+dirtyRateGrace)
	defer cancel()
	var rate float64
	err := h.onDomain(ctx, vm, "measure the dirty rate of", false, func(l *lv.Libvirt, d lv.Domain) error {
		before, err := readDirtyRate(l, d)
		if err != nil {
			return err
		}
		var first time.Duration // another's measurement is as good, and may end at any time
		if before.status != lv.DomainDirtyrateMeasuring {
			first = time.Duration(seconds) * time.Second
			if err := l.DomainStartDirtyRateCalc(d, seconds, uint32(lv.DomainDirtyrateModePageSampling)); err != nil {
				return err
			}
		}
		rate, err = awaitDirtyRate(ctx, l, d, first)
		return err
	})
	return rate, err
}

// awaitDirtyRate asks for the first time after first.
func awaitDirtyRate(ctx context.Context, l *lv.Libvirt, d lv.Domain, first time.Duration) (float64, error) {
	next := time.NewTimer(first)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", errNotMeasured, context.Cause(ctx))
		}
		m, err := readDirtyRate(l, d)
		if err != nil {
			return 0, err
		}
		if m.status == lv.DomainDirtyrateMeasured {
			return m.bytesPerSecond, nil
		}
		next.Reset(dirtyRatePoll)
	}
}

// dirtyRate is what libvirt says of the last measurement.
type dirtyRate struct {
	status         lv.DomainDirtyRateStatus
	bytesPerSecond float64
}

func readDirtyRate(l *lv.Libvirt, d lv.Domain) (m dirtyRate, err error) {
	records, err := l.ConnectGetAllDomainStats([]lv.Domain{d}, uint32(lv.DomainStatsDirtyrate),
		uint32(lv.ConnectGetAllDomainsStatsNowait))
	if err != nil {
		return m, err
	}
	for _, r := range records {
		for _, p := range r.Params {
			switch n := p.Value.I.(type) {
			case int32:
				if p.Field == lv.DomainStatsDirtyrateCalcStatus {
					m.status = lv.DomainDirtyRateStatus(n)
				}
			case int64:
				if p.Field == lv.DomainStatsDirtyrateMegabytesPerSecond {
					m.bytesPerSecond = float64(max(n, 0)) * (1 << 20)
				}
			}
		}
	}
	return m, nil
}
