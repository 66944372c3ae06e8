package agent

import (
	"cmp"
	"strconv"
	"strings"
	"sync"

	"drover/internal/fault"
	"drover/internal/move"
)

// callers counts the control connections of each host that was let in: one that has
// authenticated takes no place from others who still have to.
type callers struct {
	mu   sync.Mutex
	open map[string]int
}

// ofOneCaller is more than a host needs that moves all it may at once, and asks about
// the rest.
const ofOneCaller = 64

// enter takes a place until leave is called.
func (c *callers) enter(host string, who move.Caller) (leave func(), err error) {
	key := strings.ToLower(cmp.Or(who.DelegatedBy, who.Principal))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[string]int{}
	}
	if c.open[key] >= ofOneCaller {
		return nil, fault.New(fault.MigrationLimit, host, "what", "connections of "+cmp.Or(who.DelegatedBy, who.Principal), "limit", strconv.Itoa(ofOneCaller))
	}
	c.open[key]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open[key]--; c.open[key] == 0 {
			delete(c.open, key)
		}
	}, nil
}

// maxAccount is where the name of a computer's account ends, without its "$".
const maxAccount = 15

// nameOf is what a host is called: as it says, if that is the name of its account, which the
// controller vouches for; else as the account is.
func nameOf(said, account string) string {
	proved, _, _ := strings.Cut(account, "@")
	proved = strings.TrimSuffix(proved, "$")
	short, _, _ := strings.Cut(said, ".")
	if strings.EqualFold(short, proved) || len(proved) == maxAccount && len(short) > maxAccount && strings.EqualFold(short[:maxAccount], proved) {
		return said
	}
	return proved
}
