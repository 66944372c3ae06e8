package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"drover/internal/fault"
	"drover/internal/settings"
	"drover/internal/store"
)

// settingsKeeper has the host's settings: durable in the journal, and at hand for
// whoever asks. A change holds from the moment at which it is on the disk.
type settingsKeeper struct {
	host    string
	journal *store.Store
	now     atomic.Pointer[settings.Settings]

	// mu is held over a change, so that what is at hand follows in the order of
	// the journal.
	mu sync.Mutex
	// changed are told of each change after it holds, before the one who made it
	// has the answer.
	changed []func(actor string, before, after settings.Settings)
}

func openSettings(ctx context.Context, host string, journal *store.Store) (*settingsKeeper, error) {
	body, err := journal.Settings(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fault.Wrap(err, fault.StoreFailed, host)
	}
	s, err := decodeSettings(host, body)
	if err != nil {
		return nil, fault.Wrap(err, fault.StoreFailed, host)
	}
	k := &settingsKeeper{host: host, journal: journal}
	k.now.Store(&s)
	return k, nil
}

// decodeSettings reads what was kept; what a later version added has its default.
func decodeSettings(host string, body []byte) (settings.Settings, error) {
	s := settings.Default()
	if body == nil {
		return s, nil
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("settings in the journal: %w", err)
	}
	return s, s.Validate(host)
}

// get gives the settings as of now; nobody may write to its networks.
func (k *settingsKeeper) get() settings.Settings { return *k.now.Load() }

// settingsDetail is what the audit keeps of a change: the differences that it
// made, or what was asked for and refused.
type settingsDetail struct {
	Revision int64                 `json:"revision"`
	Changes  []settings.Difference `json:"changes,omitempty"`
	Refused  *settings.Change      `json:"refused,omitempty"`
}

// change applies ch as actor, all of it or nothing, and audits it in the same
// step. A refused change is audited with the code as its outcome.
func (k *settingsKeeper) change(ctx context.Context, actor string, ch settings.Change) (settings.Settings, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var before, after settings.Settings
	var refusal error
	// From here on it is done or not, whoever waits for it.
	err := k.journal.ChangeSettings(context.WithoutCancel(ctx), func(old []byte) (c store.SettingsChange, err error) {
		c.Audit = store.AuditRow{Time: time.Now(), Actor: actor, Action: "settings.change", Object: k.host, Outcome: "ok"}
		if before, err = decodeSettings(k.host, old); err != nil {
			return c, err
		}
		detail := settingsDetail{}
		if after, refusal = before.Apply(k.host, ch); refusal != nil {
			after = before
			detail.Refused = &ch
			c.Audit.Outcome = string(fault.From(refusal).Code)
		}
		detail.Revision, detail.Changes = after.Revision, settings.Diff(before, after)
		if after.Revision != before.Revision {
			c.Revision = after.Revision
			if c.Body, err = json.Marshal(after); err != nil {
				return c, err
			}
		}
		c.Audit.Detail, err = json.Marshal(detail)
		return c, err
	})
	if err != nil {
		return settings.Settings{}, fault.Wrap(err, fault.StoreFailed, k.host)
	}
	if refusal != nil {
		return settings.Settings{}, refusal
	}
	k.now.Store(&after)
	if after.Revision != before.Revision {
		for _, f := range k.changed {
			f(actor, before, after)
		}
	}
	return after, nil
}
