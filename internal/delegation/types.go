package delegation

import (
	"time"

	"drover/internal/directory"
	"drover/internal/finding"
)

// Model is how delegation is written into the directory.
type Model string

// Models.
const (
	Constrained   Model = "constrained"
	ResourceBased Model = "resource-based"
	GroupBased    Model = "group"
)

// Models lists all, the default first.
var Models = []Model{Constrained, ResourceBased, GroupBased}

// Protocol is for whom a host may act: for operators who signed in by Kerberos
// only, or for any (protocol transition, TRUSTED_TO_AUTH_FOR_DELEGATION).
type Protocol string

// Protocols.
const (
	AnyProtocol  Protocol = "any"
	KerberosOnly Protocol = "kerberos"
)

// MaxValues is how many values the unlinked attributes of an object hold: about
// 1,200 on Windows, where all of them share one record of the database (Microsoft,
// "Active Directory: Non-Linked Multi-Valued Attribute Size Limits"). A delegation
// list with short and full names of two services takes four per destination. Samba
// has no such limit; a plan keeps to it there as well, since a domain can have
// controllers of both kinds.
const MaxValues = 1200

// Intent is what is wanted. The zero Intent of some hosts is a full mesh with
// Model "constrained", Protocol "any" and the default services.
type Intent struct {
	Model    Model    `json:"model"`
	Protocol Protocol `json:"protocol"`
	// Services are service classes; default spn.Migration and spn.Storage.
	Services []string `json:"services"`
	// OneWay are the only directions wanted; none means every ordered pair of hosts.
	OneWay []Direction `json:"one_way,omitempty"`
	// Prune plans the removal of what is not wanted.
	Prune bool `json:"prune,omitempty"`
	// Group is the group's sAMAccountName for Model "group", and GroupOU where it is
	// created when there is none; default DefaultGroup and the domain's CN=Users.
	Group   string `json:"group,omitempty"`
	GroupOU string `json:"group_ou,omitempty"`
}

// DefaultGroup is the group of the group model.
const DefaultGroup = "Drover Hosts"

// Direction is an ordered pair of hosts, by short name: Source may act for
// operators at Destination.
type Direction struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
}

// String is SOURCE:DESTINATION.
func (d Direction) String() string { return d.Source + ":" + d.Destination }

// State is what the directory was when a plan was made, as far as a plan needs it.
type State struct {
	Root     directory.Root
	Time     time.Time
	Hosts    []directory.Account // the hosts of the intent
	Group    *directory.Group    // the group of the group model, nil when there is none
	Mappings []string            // classes that HOST stands for
	// Others are accounts that are no hosts of the intent, as far as they were read:
	// they let a plan name what a superfluous value belongs to.
	Others []directory.Account
	// NamesRead says that every name in the hosts' lists was looked for, so that one
	// which no account of Hosts and Others carries is gone. See UncarriedHosts.
	NamesRead bool
}

// Plan is what there is, what is missing, what is too much, and the changes that
// make the difference go away. It is the JSON document of `delegation plan -o
// json`, which `delegation apply PLAN` reads.
type Plan struct {
	Format   int       `json:"drover_plan"` // PlanFormat
	Time     time.Time `json:"time"`
	Server   string    `json:"server" doc:"the controller that was read"`
	Kind     string    `json:"kind" doc:"samba or windows"`
	Domain   string    `json:"domain"`
	BaseDN   string    `json:"base_dn"`
	SID      string    `json:"domain_sid"`
	Rollback string    `json:"rollback,omitempty" doc:"the baseline that this plan goes back to"`
	Intent   Intent    `json:"intent"`
	Hosts    []Host    `json:"hosts"`
	Pairs    []Pair    `json:"pairs"`
	// NewGroup is created first; nil when no group is needed or there is one.
	NewGroup *directory.NewGroup `json:"new_group,omitempty"`
	Changes  []Change            `json:"changes"`
	Findings []finding.Finding   `json:"findings,omitempty"`
	Cost     Cost                `json:"cost"`
}

// PlanFormat is the version of the plan's JSON form.
const PlanFormat = 1

// Empty says that there is nothing to change.
func (p *Plan) Empty() bool { return len(p.Changes) == 0 && p.NewGroup == nil }

// Host is one host of a plan.
type Host struct {
	Name        string `json:"name"` // short, upper case
	FQDN        string `json:"fqdn"` // lower case, "" when the account has none
	Account     string `json:"account"`
	DN          string `json:"dn"`
	SID         string `json:"sid"`
	AnyProtocol bool   `json:"any_protocol"`
	// Other are values of the list that belong to no direction of this plan, such as
	// MSSQLSvc/db01:1433. They stay, unless Intent.Prune.
	Other []string `json:"other,omitempty"`
}

// PairState sums a Pair up.
type PairState string

// States of a direction.
const (
	Complete   PairState = "complete"
	Incomplete PairState = "incomplete" // some of it is there
	Absent     PairState = "absent"     // nothing of it is there
	Unwanted   PairState = "unwanted"   // it is there, and the intent does not want it
)

// Pair is one ordered pair of hosts.
type Pair struct {
	Direction
	State   PairState `json:"state"`
	Present []string  `json:"present,omitempty"` // values, or trustees
	Missing []string  `json:"missing,omitempty"`
	Extra   []string  `json:"extra,omitempty"`
}

// Change is what happens to one attribute of one object. What Add and Delete hold
// depends on the attribute: values of msDS-AllowedToDelegateTo and
// servicePrincipalName; names of flags (TRUSTED_TO_AUTH_FOR_DELEGATION) for
// userAccountControl; SIDs of trustees for msDS-AllowedToActOnBehalfOfOtherIdentity,
// or GroupTrustee for the group that the plan creates; distinguished names for
// member.
type Change struct {
	DN        string   `json:"dn"`
	Account   string   `json:"account"`
	Attribute string   `json:"attribute"`
	Add       []string `json:"add,omitempty"`
	Delete    []string `json:"delete,omitempty"`
	// Raw, for a rollback, is the whole security descriptor to put back, base64 in
	// JSON, in place of Add and Delete.
	Raw []byte `json:"raw,omitempty"`
	// Remove, for a rollback, is that there was no security descriptor; when Attribute
	// is "", that there was no such object, which then is a group.
	Remove bool `json:"remove,omitempty"`
	// Note says, for people, what Raw or Remove takes away and gives back.
	Note []string `json:"note,omitempty"`
	// Before is Digest of the attribute's values when the plan was made; for a group
	// to be removed, of its members.
	Before string `json:"before"`
}

// GroupTrustee stands for the SID of Plan.NewGroup, which is known once it is made.
const GroupTrustee = "new-group"

// Cost is what a plan's model costs in the directory.
type Cost struct {
	ValuesPerHost int    `json:"values_per_host"` // the most on one account, after the plan
	Limit         int    `json:"limit"`           // of one attribute
	Values        int    `json:"values"`          // in the whole directory, after the plan
	Text          string `json:"text"`            // one sentence for people
}

// Outcome is how one object of a plan fared.
type Outcome string

// Outcomes.
const (
	Applied   Outcome = "applied"
	Unchanged Outcome = "unchanged" // it was so already
	Failed    Outcome = "failed"
	NotTried  Outcome = "not-tried" // the controller went away before
)
