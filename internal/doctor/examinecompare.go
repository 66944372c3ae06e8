package doctor

import (
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/settings"
)

// noMove says that with this value of a setting hosts move nothing, whatever the
// others have.
func noMove(value string) bool {
	return value == string(settings.CredSSP) || value == string(settings.SMB)
}

// hostSet are the commands that give a host's setting a value, and the one it had. An
// agent that was asked by the local socket is asked so again: nobody has a ticket.
func hostSet(h *seenHost, flag, value, was string) func(*finding.Finding) {
	return hostSetAll(h, " --"+flag+" "+value, " --"+flag+" "+was)
}

// hostSetAll is the same for several settings, as options with a blank before each.
func hostSetAll(h *seenHost, options, were string) func(*finding.Finding) {
	line := func(options string) []finding.Command {
		where := " --host " + h.reachable()
		if h.agent != nil && h.agent.Local {
			where = ""
		}
		return []finding.Command{{Tool: finding.Drover, Line: "drover host set" + where + options}}
	}
	return cure("at once", line(options), line(were))
}

// reachable is the name under which a host is called.
func (h *seenHost) reachable() string {
	if h.FQDN != "" {
		return h.FQDN
	}
	return h.Name
}

// unusable tells of a setting with whose value the host moves nothing at all, and of
// no other host that differs.
func (x *examination) unusable(h *seenHost, what, flag, have, want string) {
	set := hostSet(h, flag, want, have)
	x.tell(finding.Error, h.Name, fault.New(fault.NotAvailable, h.Name, "what", what+" "+have, "instead", "drover host set --host "+h.reachable()+" --"+flag+" "+want),
		h.Name+" has "+have, "the agent of "+h.Name, aboutHost(h), set)
}
