package directory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

var rootAttributes = []string{"defaultNamingContext", "configurationNamingContext", "rootDomainNamingContext",
	"dnsHostName", "dsServiceName", "isGlobalCatalogReady", "vendorName"}

// readRootDSE learns who the controller is (MS-ADTS 3.1.1.3.2).
func (c *Conn) readRootDSE() error {
	r, err := c.ldap.Search(object("", rootAttributes...))
	if err != nil {
		return fmt.Errorf("read the rootDSE: %w", err)
	}
	if len(r.Entries) != 1 || r.Entries[0].GetAttributeValue("defaultNamingContext") == "" {
		return errors.New("read the rootDSE: no naming context, not a domain controller")
	}
	e := r.Entries[0]
	c.kind = kindOf(e.GetAttributeValue("vendorName"))
	c.base = e.GetAttributeValue("defaultNamingContext")
	c.says = Root{Server: e.GetAttributeValue("dnsHostName"), Kind: c.kind, BaseDN: c.base,
		ConfigDN: e.GetAttributeValue("configurationNamingContext"), ForestDN: e.GetAttributeValue("rootDomainNamingContext"),
		Domain: domainOfDN(c.base), Controller: e.GetAttributeValue("dsServiceName"),
		Local:     c.options.Socket != "",
		GlobalCat: strings.EqualFold(e.GetAttributeValue("isGlobalCatalogReady"), "TRUE")}
	return nil
}

// kindOf tells by vendorName, which Samba has and Windows has not.
func kindOf(vendor string) Controller {
	if strings.Contains(strings.ToLower(vendor), "samba") {
		return Samba
	}
	return Windows
}

// Root is what the controller says of itself and of its domain, read once.
func (c *Conn) Root(ctx context.Context) (Root, error) {
	c.mu.Lock()
	known := c.root
	c.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	r := c.says
	if err := c.ask(ctx, r.BaseDN, func() error { return c.fillRoot(&r) }); err != nil {
		return Root{}, fmt.Errorf("read the domain's root: %w", err)
	}
	for _, d := range c.domainsIfReadable(ctx) {
		if strings.EqualFold(d.name, r.Domain) {
			r.NetBIOS = d.netBIOS
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.root = &r
	return r, nil
}

func (c *Conn) fillRoot(r *Root) error {
	domain, err := c.one(object(r.BaseDN, "objectSid"))
	if err != nil {
		return err
	}
	if r.DomainSID, err = sidString(domain.GetRawAttributeValue("objectSid")); err != nil {
		return fmt.Errorf("%s: %w", r.BaseDN, err)
	}
	if r.InvocationID, err = c.invocationID(r.Controller); err != nil {
		return err
	}
	r.Controllers, err = c.countControllers(r)
	return err
}

// invocationID identifies the controller's copy of the database, to which its USNs
// belong (MS-ADTS 3.1.1.1.9).
func (c *Conn) invocationID(dsService string) (string, error) {
	if dsService == "" {
		return "", nil
	}
	e, err := c.one(object(dsService, "invocationId"))
	if err != nil {
		return "", err
	}
	raw := e.GetRawAttributeValue("invocationId")
	if len(raw) != 16 {
		return "", nil
	}
	return guidString(raw), nil
}

// countControllers counts what holds a copy of the domain, read-only controllers
// included: their settings objects, not computer accounts, because replication goes
// by the former (MS-ADTS 6.1.1.2.2.1.2.1.1).
func (c *Conn) countControllers(r *Root) (int, error) {
	filter := "(&(objectClass=nTDSDSA)" + anyOf(equals("hasMasterNCs", r.BaseDN), equals("msDS-hasMasterNCs", r.BaseDN),
		equals("msDS-hasFullReplicaNCs", r.BaseDN)) + ")"
	found, err := c.search(ldap.NewSearchRequest("CN=Sites,"+r.ConfigDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
		0, 0, false, filter, []string{"1.1"}, nil))
	return max(1, len(found)), err // itself, if these are hidden from the caller
}

// guidString is a GUID's usual form (MS-DTYP 2.3.4.3) of its sixteen bytes, of which
// the first three numbers are little-endian.
func guidString(b []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]),
		binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16])
}
