package directory

import (
	"context"
	"errors"
)

// Query says which accounts are wanted; conditions that are set must all hold. No
// condition means every account of a computer or a person.
type Query struct {
	Base         string   // search below this distinguished name; "" = the domain
	Class        string   // service class of which it must have a name, "Microsoft Virtual System Migration Service"
	Pattern      string   // a service name that it must have; "*" stands for anything
	ServiceNames bool     // it must have any service name
	Nameless     bool     // it must have no service name: what is left when those with one were read already
	Delegating   bool     // it has a delegation list, a resource-based list, or one of the delegation flags
	Computers    bool     // computer accounts only
	Names        []string // sAMAccountName, dNSHostName, distinguished name or SID: any of them
}

// NewGroup is a security group to be created.
type NewGroup struct {
	DN          string
	Name        string // sAMAccountName
	Description string
	Members     []string // distinguished names
}

var errNotBuilt = errors.New("not built yet")

// Root is what the controller says of itself, read once.
func (c *Conn) Root(ctx context.Context) (Root, error) { return Root{}, errNotBuilt }

// Accounts reads accounts, in pages, with every value of large attributes (range
// retrieval, MS-ADTS 3.1.1.3.1.3.3), sorted by name. Protected is filled in.
func (c *Conn) Accounts(ctx context.Context, q Query) ([]Account, error) { return nil, errNotBuilt }

// Groups reads groups by sAMAccountName, distinguished name or SID; one that does
// not exist is not in the answer.
func (c *Conn) Groups(ctx context.Context, names ...string) ([]Group, error) { return nil, errNotBuilt }

// Read reads attributes of one object, all values of large ones.
func (c *Conn) Read(ctx context.Context, dn string, attributes ...string) (Entry, error) {
	return Entry{}, errNotBuilt
}

// Modify changes one object, all or nothing. Faults: directory-access-denied,
// directory-changed, directory-object-gone, directory-limit, directory-unreachable.
func (c *Conn) Modify(ctx context.Context, dn string, mods ...Mod) error { return errNotBuilt }

// AddGroup creates a global security group.
func (c *Conn) AddGroup(ctx context.Context, g NewGroup) error { return errNotBuilt }

// DeleteObject deletes an object that has nothing below it.
func (c *Conn) DeleteObject(ctx context.Context, dn string) error { return errNotBuilt }

// HighestUSN is the controller's highestCommittedUSN.
func (c *Conn) HighestUSN(ctx context.Context) (int64, error) { return 0, errNotBuilt }

// Changes lists accounts and groups of the domain that changed after the USN
// since, deleted ones where the caller may see them, in one small search when
// nothing changed.
func (c *Conn) Changes(ctx context.Context, since int64) ([]Changed, error) { return nil, errNotBuilt }

// Writers names who may write an attribute of an object, by its security
// descriptor: account names where they can be resolved, else SIDs.
func (c *Conn) Writers(ctx context.Context, dn, attribute string) ([]string, error) {
	return nil, errNotBuilt
}

// Mappings are the service classes that HOST stands for, lower case (sPNMappings,
// MS-ADTS 6.1.1.2.4.1.?); a host with HOST/X answers to CLASS/X for each of them.
func (c *Conn) Mappings(ctx context.Context) ([]string, error) { return nil, errNotBuilt }

// Global connects to a global catalogue of the forest: read-only, all domains.
func (c *Conn) Global(ctx context.Context) (*Conn, error) { return nil, errNotBuilt }

// For gives the connection to the domain that holds dn: c itself, or one to a
// controller of that domain, which is made once and closed with c.
func (c *Conn) For(ctx context.Context, dn string) (*Conn, error) { return nil, errNotBuilt }
