package delegation

import "drover/internal/directory"

// Resolve finds the accounts that names (short, full, "HV01$" or distinguished
// names) stand for. Faults: host-not-in-directory, host-name-is-address,
// host-is-user, host-is-cluster, host-name-ambiguous, host-account-disabled.
func Resolve(names []string, found []directory.Account) ([]directory.Account, error) {
	return nil, errNotBuilt
}
