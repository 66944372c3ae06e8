package agent

import "strings"

// Service classes of the names under which a destination is delegated to.
const (
	migrationService = "Microsoft Virtual System Migration Service"
	storageService   = "cifs"
)

// serviceName is CLASS/HOST. Short host names are written in upper case, as the
// directory's own tools do; service names are compared without regard to case.
func serviceName(class, host string) string {
	if !strings.Contains(host, ".") {
		host = strings.ToUpper(host)
	}
	return class + "/" + host
}

func serviceClass(service string) string {
	class, _, _ := strings.Cut(service, "/")
	return class
}
