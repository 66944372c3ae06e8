package settings

import "net/netip"

// Change says what to change; a nil member stays as it is. It is carried out as
// one step, so that two administrators who change different things at the same
// time lose nothing.
type Change struct {
	// IfRevision refuses the change ("settings-changed") unless the settings are
	// still those; for changes that were decided by looking at all of them.
	IfRevision               *int64          `json:"if_revision,omitempty" doc:"refuse unless the settings have this revision"`
	Incoming                 *bool           `json:"incoming_enabled,omitempty"`
	Outgoing                 *bool           `json:"outgoing_enabled,omitempty"`
	MaximumMigrations        *int            `json:"maximum_migrations,omitempty"`
	MaximumStorageMigrations *int            `json:"maximum_storage_migrations,omitempty"`
	Authentication           *Authentication `json:"authentication_type,omitempty"`
	Performance              *Performance    `json:"performance_option,omitempty"`
	AnyNetwork               *bool           `json:"use_any_network,omitempty"`
	// Networks replaces all; AddNetworks adds, or edits the one with the same
	// subnet; RemoveNetworks removes, and one that is not there is an error.
	Networks       *[]Network     `json:"networks,omitempty" doc:"the networks instead of those there are"`
	AddNetworks    []Network      `json:"add_networks,omitempty" doc:"added, or edited where the subnet is there"`
	RemoveNetworks []netip.Prefix `json:"remove_networks,omitempty"`
	Bandwidth      *Rate          `json:"bandwidth_limit,omitempty"`
	Encryption     *Encryption    `json:"encryption,omitempty"`
	// CompressionCores 0 leaves it to the host.
	CompressionCores *Cores `json:"compression_cores,omitempty"`
}

// Difference is one setting that differs, in words of the command line.
type Difference struct {
	Setting string `json:"setting" doc:"as the API calls it, e.g. maximum_migrations"`
	From    string `json:"from"`
	To      string `json:"to"`
}
