package benchdirectory

import (
	"fmt"
	"strings"
	"time"

	"drover/lab"
)

// measured is one thing to measure: a command line of drover, a number of looks of
// a watcher, or a command of Samba's on the controller itself.
type measured struct {
	name   string
	args   []string
	socket bool // as root on the controller, by its socket
	tool   []string
	status int           // that the command has to end with
	looks  int           // of a watcher, instead of args
	busy   bool          // something that does not concern it changes before each look
	target time.Duration // 0: none, it is only for comparison
	note   string
}

const (
	policyPath   = "/root/policy.yaml"
	baselinePath = "/root/baseline.ldif"
	meshPlan     = "/root/plan.json"
)

// policy wants what the group model makes.
const policy = "ou: " + lab.PopulationHostsOU + "\nmodel: group\n"

// auditStatus is that of an audit whose worst finding is an error.
const auditStatus = 11

// refusedStatus is that of delegation-too-large.
const refusedStatus = 5

// meshHosts is how many hosts are planned by lists: a mesh of all of them cannot be
// stored.
const meshHosts = 100

// tooMany hosts cannot be planned by lists, on any controller.
const tooMany = 400

// cases in the order in which a round takes them. At the end of a round the
// directory is as at its beginning.
func (b *bench) cases() []measured {
	ou := []string{"--ou", lab.PopulationHostsOU}
	group := append([]string{"--model", "group"}, ou...)
	few := with("delegation plan -o json --out", meshPlan)
	for n := range min(meshHosts, b.Hosts) {
		few = append(few, lab.PopulationHost(n+1))
	}
	mesh, all := fmt.Sprintf("%d hosts", min(meshHosts, b.Hosts)), fmt.Sprintf("%d hosts", b.Hosts)
	cases := []measured{
		{name: "plan, group model", args: with("delegation plan -o json", group...), target: 5 * time.Second, note: all + ", nothing there yet"},
		{name: "plan, constrained", args: few, target: 5 * time.Second, note: mesh + ", nothing there yet"},
		{name: "audit, before", args: with("delegation audit -o json --policy", policyPath), status: auditStatus, target: 5 * time.Second, note: all + ", every direction lacks"},
		{name: "spn duplicates", args: with("spn duplicates -o json"), target: 5 * time.Second, note: "the whole domain"},
		{name: "apply, constrained", args: with("delegation apply --yes -o json --baseline "+baselinePath, meshPlan), note: mesh + ", from a plan"},
		{name: "rollback, constrained", args: with("delegation rollback --yes -o json", baselinePath), note: mesh},
		// Samba takes security descriptors of delegation from nobody over the network.
		{name: "apply, group model", socket: true, args: with("delegation apply --yes -o json --baseline "+baselinePath, group...), target: time.Minute, note: all + ", on the controller, from nothing"},
		{name: "apply again", socket: true, args: with("delegation apply --yes -o json", group...), note: all + ", nothing to do"},
		{name: "audit, after", args: with("delegation audit -o json --policy", policyPath), target: 5 * time.Second, note: all + ", all as it should be"},
		{name: "watch, one interval", looks: 20, target: 100 * time.Millisecond, note: "nothing changed; the median of 20 looks"},
		{name: "watch, other changes", looks: 5, busy: true, note: "a user's description changed; the median of 5 looks"},
		{name: "rollback, group model", socket: true, args: with("delegation rollback --yes -o json", baselinePath), note: all + ", on the controller"},
		{name: "samba-tool, for comparison", tool: with("samba-tool delegation show", lab.PopulationHost(1)+"$"), note: "one host, on the controller"},
		{name: "ldbsearch, for comparison", tool: with("ldbsearch -H /var/lib/samba/private/sam.ldb (servicePrincipalName=*) servicePrincipalName"), note: "every service name, on the controller"},
	}
	if b.Hosts >= tooMany {
		cases = append(cases, measured{name: "plan, constrained, too many", args: with("delegation plan -o json", ou...), status: refusedStatus, note: all + ": refused, with delegation-too-large"})
	}
	return cases
}

func with(line string, more ...string) []string { return append(strings.Fields(line), more...) }
