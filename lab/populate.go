package lab

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

//go:embed directory_populate.py
var directoryPopulate string

// Where Populate puts its accounts.
const (
	PopulationHostsOU  = "OU=Hosts," + BaseDN
	PopulationPeopleOU = "OU=People," + BaseDN
)

// Population says how many accounts Populate makes.
type Population struct {
	// Hosts are computer accounts P001, P002 and so on in PopulationHostsOU, each with the service
	// names of a host that is enrolled, without delegation.
	Hosts int
	// Mesh lets each of the hosts delegate to every other, for moves with storage.
	Mesh bool
	// Network, when it is valid, gives the hosts addresses in DNS: PopulationAddress.
	Network netip.Prefix
	// System is the operatingSystem of the hosts, "" for none.
	System string
	// Users are user accounts u00001, u00002 and so on in PopulationPeopleOU. Every 20th has a service
	// name of its own, every 30th is disabled.
	Users int
}

// PopulationHost is the name of the n-th host of a population, counted from 1: "P001".
func PopulationHost(n int) string { return fmt.Sprintf("P%03d", n) }

// PopulationHostDN is the distinguished name of the n-th host's computer account.
func PopulationHostDN(n int) string { return "CN=" + PopulationHost(n) + "," + PopulationHostsOU }

// PopulationUser is the name of the n-th user of a population, counted from 1: "u00001".
func PopulationUser(n int) string { return fmt.Sprintf("u%05d", n) }

// PopulationAddress is the address of the n-th host in a network, counted from 1.
func PopulationAddress(network netip.Prefix, n int) netip.Addr {
	a := network.Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a
}

// populatedAccount is one account for directory_populate.py.
type populatedAccount struct {
	Name            string   `json:"name"`    // of the entry
	Account         string   `json:"account"` // sAMAccountName
	Flags           int      `json:"flags"`
	ServiceNames    []string `json:"service_names"`
	FQDN            string   `json:"fqdn"`             // computers only
	EncryptionTypes int      `json:"encryption_types"` // computers only
	DelegateTo      []string `json:"delegate_to"`      // computers only
	Address         string   `json:"address"`          // computers only
	System          string   `json:"system"`           // computers only
}

// aesOnly is msDS-SupportedEncryptionTypes with AES128 and AES256 (MS-KILE 2.2.7).
const aesOnly = 0x18

// Populate fills the directory with accounts that nobody can sign in as: they have no password.
// Delegation between them is left to the caller, without Mesh. 500 hosts and 10,000 users take 10 to 20 s, during
// which the controller takes no other changes. It may be called once in a lab; when it fails, nothing
// of it is in the directory.
func (l *Lab) Populate(ctx context.Context, p Population) error {
	var input struct {
		ComputersOU string             `json:"computers_ou"`
		UsersOU     string             `json:"users_ou"`
		Zone        string             `json:"zone"`
		Computers   []populatedAccount `json:"computers"`
		Users       []populatedAccount `json:"users"`
	}
	input.ComputersOU, input.UsersOU = PopulationHostsOU, PopulationPeopleOU
	input.Zone = "DC=" + Domain + ",CN=MicrosoftDNS,DC=DomainDnsZones," + BaseDN
	for n := range p.Hosts {
		input.Computers = append(input.Computers, p.computer(n+1))
	}
	for n := range p.Users {
		input.Users = append(input.Users, populationAccount(n+1))
	}
	raw, err := json.Marshal(input)
	if err != nil {
		return err
	}
	cmd := l.Member(DC1).Command(ctx, "/usr/bin/python3", "-c", directoryPopulate)
	cmd.Stdin = bytes.NewReader(raw)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("populate the directory: %w: %s", err, out)
	}
	return nil
}

func (p Population) computer(n int) populatedAccount {
	name := PopulationHost(n)
	c := populatedAccount{
		Name: name, Account: name + "$", Flags: FlagWorkstationAccount, FQDN: strings.ToLower(name) + "." + Domain,
		ServiceNames: ServiceNames(name, "HOST", "RestrictedKrbHost", "cifs", MigrationService), EncryptionTypes: aesOnly, System: p.System,
	}
	if p.Network.IsValid() {
		c.Address = PopulationAddress(p.Network, n).String()
	}
	if p.Mesh {
		c.Flags |= FlagTrustedToAuthForDlg
		for other := range p.Hosts {
			if other+1 != n {
				c.DelegateTo = append(c.DelegateTo, DelegationTo(PopulationHost(other+1))...)
			}
		}
	}
	return c
}

func populationAccount(n int) populatedAccount {
	name := PopulationUser(n)
	u := populatedAccount{Name: name, Account: name, Flags: FlagNormalAccount}
	if n%20 == 0 {
		u.ServiceNames = []string{"MSSQLSvc/" + name + "." + Domain + ":1433"}
	}
	if n%30 == 0 {
		u.Flags |= FlagDisabled
	}
	return u
}
