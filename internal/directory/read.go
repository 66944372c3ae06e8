package directory

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"drover/internal/directory/secdesc"

	"github.com/go-ldap/ldap/v3"
)

const attributeDescriptor = "nTSecurityDescriptor"

// Owner, group and DACL, which one may read without the right to the SACL
// (MS-ADTS 3.1.1.3.4.1.11).
const descriptorParts = 7

// Read reads attributes of one object of the forest, all values of large ones. Fault:
// directory-object-gone.
func (c *Conn) Read(ctx context.Context, dn string, attributes ...string) (entry Entry, err error) {
	if c, err = c.at(ctx, dn); err != nil {
		return entry, err
	}
	err = c.ask(ctx, dn, func() error {
		e, err := c.one(readRequest(dn, attributes))
		if err == nil {
			entry, err = parseEntry(e, attributes)
		}
		return err
	})
	return entry, err
}

func readRequest(dn string, attributes []string) *ldap.SearchRequest {
	q := object(dn, append([]string{"objectGUID", "uSNChanged"}, attributes...)...)
	for _, a := range attributes {
		if strings.EqualFold(a, attributeDescriptor) {
			q.Controls = append(q.Controls, &ldap.ControlMicrosoftSDFlags{Criticality: true, ControlValue: descriptorParts})
		}
	}
	return q
}

// parseEntry sorts what came under the names under which it was asked for.
func parseEntry(e *ldap.Entry, asked []string) (Entry, error) {
	guid, err := guidOf(e)
	if err != nil {
		return Entry{}, fmt.Errorf("%s: %w", e.DN, err)
	}
	entry := Entry{DN: e.DN, GUID: guid, USN: usnOf(e), Attributes: map[string][][]byte{}}
	for _, name := range asked {
		plain, _, _, err := parseRange(name)
		if err != nil {
			return Entry{}, err
		}
		if v := e.GetEqualFoldRawAttributeValues(plain); len(v) > 0 {
			entry.Attributes[name] = v
		}
	}
	return entry, nil
}

func guidOf(e *ldap.Entry) (string, error) {
	var g secdesc.GUID
	raw := e.GetRawAttributeValue("objectGUID")
	if len(raw) != len(g) {
		return "", fmt.Errorf("objectGUID of %d bytes", len(raw))
	}
	copy(g[:], raw)
	return g.String(), nil
}

// HighestUSN is the controller's highestCommittedUSN.
func (c *Conn) HighestUSN(ctx context.Context) (usn int64, err error) {
	err = c.ask(ctx, "rootDSE", func() error {
		usn, err = c.highestUSN()
		return err
	})
	return usn, err
}

func (c *Conn) highestUSN() (int64, error) {
	e, err := c.one(object("", "highestCommittedUSN"))
	if err != nil {
		return 0, fmt.Errorf("read the rootDSE: %w", err)
	}
	usn, err := strconv.ParseInt(e.GetAttributeValue("highestCommittedUSN"), 10, 64)
	if err != nil {
		return 0, errors.New("the rootDSE has no highestCommittedUSN")
	}
	return usn, nil
}

// maxMappings bounds the list of Mappings; controllers come with some fifty.
const maxMappings = 10_000

// Mappings are the service classes that HOST stands for, lower case (sPNMappings,
// MS-ADTS 6.1.1.2.4.1.3); a host with HOST/X answers to CLASS/X for each of them.
func (c *Conn) Mappings(ctx context.Context) (classes []string, err error) {
	err = c.ask(ctx, "sPNMappings", func() error {
		e, err := c.one(object("CN=Directory Service,CN=Windows NT,CN=Services,"+c.says.ConfigDN, "sPNMappings"))
		if err != nil {
			return err
		}
		classes = parseMappings(e.GetAttributeValues("sPNMappings"))
		return nil
	})
	return classes, err
}

// parseMappings takes "host=alerter,appmgmt" apart.
func parseMappings(values []string) (classes []string) {
	seen := map[string]bool{"": true}
	for _, v := range values {
		name, list, found := strings.Cut(v, "=")
		if !found || !strings.EqualFold(strings.TrimSpace(name), "host") {
			continue
		}
		for class := range strings.SplitSeq(list, ",") {
			if class = strings.ToLower(strings.TrimSpace(class)); !seen[class] && len(classes) < maxMappings {
				seen[class] = true
				classes = append(classes, class)
			}
		}
	}
	return classes
}
