package fault

// Codes about a host's settings, the queue and comparisons.
const (
	NotAvailable         Code = "not-available"
	SettingsInvalid      Code = "settings-invalid"
	SettingsChanged      Code = "settings-changed"
	MigrationPortUnbound Code = "migration-port-unbound"
	MigrationLimit       Code = "migration-limit"
)

var settingsCodes = []Entry{
	{NotAvailable, ClassRefused, 0, "Not available yet",
		"{what} is not available yet",
		"The setting is part of the vocabulary and can be stored, but this version of Drover cannot move VMs with it.",
		"choose another: `{instead}`"},
	{SettingsInvalid, ClassUsage, 0, "Setting refused",
		"{host} does not take the setting {setting}: {problem}",
		"The value is outside what the setting allows, or contradicts another one. Nothing was changed.",
		"see the settings and their values with `drover host set --help`"},
	{SettingsChanged, ClassRefused, 0, "Settings were changed meanwhile",
		"the settings of {host} have revision {have}, not {want}: somebody changed them meanwhile",
		"The change was decided by looking at settings that are no longer those of the host. Nothing was changed.",
		"look again and repeat the change: `drover host show --host {host}`"},
	{MigrationPortUnbound, ClassUnavailable, 0, "No migration address",
		"{host} has no address on its migration networks ({networks}), so port 6600 is closed there",
		"Live migration is enabled, and no interface has an address in any of the networks that are listed.",
		"list the network that the host is on: `drover host set --add-network 192.168.10.0/24 --host {host}`; its addresses: `ip -brief address`"},
	{MigrationLimit, ClassUnavailable, 0, "Limit of simultaneous migrations reached",
		"{host} runs as many {what} as it may: {limit}",
		"Each host bounds its simultaneous migrations, incoming and outgoing together. A move waits for a place unless it was told not to.",
		"repeat it without `--no-wait`, or raise the limit: `drover host set --maximum-migrations N --host {host}`"},
}
