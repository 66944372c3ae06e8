package directory

import (
	"context"
	"fmt"
	"strconv"

	"github.com/go-ldap/ldap/v3"
)

// Changes lists accounts and groups of the domain that changed after the USN
// since, deleted ones where the caller may see them, in one small search when
// nothing changed.
func (c *Conn) Changes(ctx context.Context, since int64) (changed []Changed, err error) {
	err = c.ask(ctx, c.base, func() error {
		// Controllers without an ordered index of uSNChanged, such as Samba's with its
		// usual database, read every object for the search below.
		highest, err := c.highestUSN()
		if err != nil || highest <= since {
			return err
		}
		// What changes most, such as records of DNS, is neither account nor group. It must
		// not cost a search each time from then on.
		from := since
		if quiet := c.quietSince(since); quiet > from {
			if from = quiet; highest <= from {
				return nil
			}
		}
		// Computers are of class user as well. Deleted objects keep their class, and
		// those who may not see them get the others only (MS-ADTS 3.1.1.3.4.1.14).
		q := c.subtree("(&(uSNChanged>="+strconv.FormatInt(from+1, 10)+")(|(objectClass=user)(objectClass=group)))",
			"objectGUID", "uSNChanged", "isDeleted")
		q.Controls = append(q.Controls, ldap.NewControlMicrosoftShowDeleted())
		found, err := c.search(q)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			c.setQuiet(since, highest)
		}
		for _, e := range found {
			guid, err := guidOf(e)
			if err != nil {
				return fmt.Errorf("%s: %w", e.DN, err)
			}
			changed = append(changed, Changed{DN: e.DN, GUID: guid, USN: usnOf(e), Deleted: e.GetAttributeValue("isDeleted") == "TRUE"})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return changed, nil
}

// quiet is that no account or group changed after one USN up to another.
type quiet struct{ after, upTo int64 }

// quietSince is up to where Changes is known to have nothing after since, 0 if it is
// not.
func (c *Conn) quietSince(since int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quiet.after != since {
		return 0
	}
	return c.quiet.upTo
}

func (c *Conn) setQuiet(after, upTo int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet = quiet{after, upTo}
}
