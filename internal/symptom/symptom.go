// Package symptom knows the messages that people paste when a move fails: those of
// Windows and Hyper-V, of Kerberos, libvirt and QEMU, and Drover's own. Each leads
// to its likely causes and from there to the codes of package fault, by which the
// doctor reports them.
package symptom

import (
	"slices"

	"drover/internal/fault"
)

// Origin is what shows a message.
type Origin string

// Origins.
const (
	Windows  Origin = "Windows"
	HyperV   Origin = "Hyper-V"
	Kerberos Origin = "Kerberos"
	Libvirt  Origin = "libvirt"
	QEMU     Origin = "QEMU"
)

// Cause is one reason for a message.
type Cause struct {
	Text string `json:"text"`
	// Codes are those by which the doctor reports it, none where it cannot see it.
	Codes []fault.Code `json:"codes,omitempty" doc:"findings of this cause"`
}

// Symptom is a message with what is known of it.
type Symptom struct {
	ID     string `json:"id"`
	Origin Origin `json:"origin"`
	Title  string `json:"title" doc:"the message as it is shown"`
	// Texts are other wordings or names; * stands for anything, such as a name. The
	// title is one without being listed.
	Texts []string `json:"-"`
	// Number is the HRESULT or NTSTATUS, 0 for none.
	Number uint32 `json:"-"`
	// Kerberos is the number of the error in RFC 4120, 0 for none.
	Kerberos int `json:"-"`
	// Event is the number in an event log of Windows, 0 for none.
	Event  int      `json:"-"`
	Means  string   `json:"means"`
	Causes []Cause  `json:"causes" doc:"the likely ones, likeliest first"`
	Run    []string `json:"run" doc:"commands that tell more"`
	Source string   `json:"source" doc:"where this is known from"`
}

// Codes are those of all causes, in their order, each once.
func (s Symptom) Codes() (out []fault.Code) {
	for _, c := range s.Causes {
		for _, code := range c.Codes {
			if !slices.Contains(out, code) {
				out = append(out, code)
			}
		}
	}
	return out
}

// All lists every symptom, in the order of the documentation.
func All() []Symptom {
	return slices.Concat(security, connection, hyperV, protocol, gssapi, libvirt, qemu)
}

// because is shorthand for a cause.
func because(text string, codes ...fault.Code) Cause { return Cause{text, codes} }

// Sources that several symptoms share.
const (
	erref    = "MS-ERREF 2.1, 2.3"
	kb       = "Microsoft, Troubleshoot live migration issues (KB 4558514)"
	rfc4120  = "RFC 4120 7.5.9"
	howto    = "docs/seeds.md, 1 to 4"
	mit      = "messages of MIT Kerberos"
	libvirt1 = "messages of libvirt 11.3"
	qemu1    = "messages of QEMU 10.0"
)

// Commands that several symptoms share.
const (
	runDoctor  = "drover doctor SOURCE DESTINATION"
	runVerify  = "drover delegation verify SOURCE:DESTINATION"
	runPorts   = "drover doctor DESTINATION"
	runCompare = "drover compare VM --host SOURCE --to DESTINATION"
	runEvents  = "drover events --host DESTINATION"
)
