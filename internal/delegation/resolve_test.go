package delegation

import (
	"strings"
	"testing"

	"drover/internal/directory"
	"drover/internal/fault"
)

func directoryOfNames() []directory.Account {
	node, cluster := goodHost(4, false), goodHost(5, false)
	node.ServiceNames = append(node.ServiceNames, "MSServerClusterMgmtAPI/HV04", "MSServerCluster/HV04", "MSClusterVirtualServer/SOFS")
	cluster.ServiceNames = []string{"MSClusterVirtualServer/HV05", "MSClusterVirtualServer/hv05.lab.drover.test", "HOST/HV05"}
	disabled := goodHost(6, false)
	disabled.Flags |= directory.FlagDisabled
	elsewhere := goodHost(7, false)
	elsewhere.DN = "CN=HV07,CN=Computers,DC=child," + testBase
	elsewhere.DNSHostName = "hv07.child.lab.drover.test"
	return []directory.Account{goodHost(1, false), goodHost(2, false), goodHost(3, false), node, cluster, disabled, goodHost(7, false), elsewhere,
		{DN: "CN=Jane,CN=Users," + testBase, Class: directory.User, Name: "jane.doe"},
		{DN: "CN=hv01,CN=Users," + testBase, Class: directory.User, Name: "hv01"},
		{DN: "CN=svc,CN=Users," + testBase, Class: directory.ManagedService, Name: "svc$"}}
}

func TestHostsAreFoundByEveryNameOnceAndInOrder(t *testing.T) {
	got, err := Resolve([]string{"hv03.LAB.drover.test.", "HV01", "hv02$", "cn=hv01,cn=computers," + strings.ToLower(testBase), "hv01", testDomain + "-1104"}, directoryOfNames())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range got {
		names = append(names, a.Name)
	}
	diff(t, "names", []string{"HV03$", "HV01$", "HV02$", "HV04$"}, names)
}

func TestNamesThatAreNoHosts(t *testing.T) {
	for name, code := range map[string]fault.Code{
		"192.0.2.7":            fault.HostNameIsAddress,
		"2001:db8::7":          fault.HostNameIsAddress,
		"[2001:db8::7]":        fault.HostNameIsAddress,
		"HV09":                 fault.HostNotInDirectory,
		"hv09.lab.drover.test": fault.HostNotInDirectory,
		"jane.doe":             fault.HostIsUser,
		"svc":                  fault.HostIsUser,
		"CN=hv01,CN=Users,DC=lab,DC=drover,DC=test": fault.HostIsUser,
		"HV05":                       fault.HostIsCluster,
		"HV06":                       fault.HostAccountDisabled,
		"HV07":                       fault.HostNameAmbiguous,
		" ":                          fault.Usage,
		"hv07.child.lab.drover.test": "",
	} {
		got, err := Resolve([]string{name}, directoryOfNames())
		if code == "" {
			if err != nil || len(got) != 1 {
				t.Errorf("%q: %v", name, err)
			}
			continue
		}
		if f := fault.From(err); f == nil || f.Code != code || strings.Contains(f.Message(), "{") || !strings.Contains(f.Message(), strings.TrimSpace(name)) && code != fault.Usage {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestEveryNameThatIsNoHostIsToldAtOnce(t *testing.T) {
	_, err := Resolve([]string{"HV09", "HV01", "192.0.2.7", "HV06", "HV09"}, directoryOfNames())
	if !fault.Is(err, fault.HostNotInDirectory) {
		t.Fatal(err)
	}
	for name, times := range map[string]int{"HV09": 1, "192.0.2.7": 1, "HV06$": 1, "HV01": 0} {
		if got := strings.Count(err.Error(), name); got != times {
			t.Errorf("%s is told %d times: %v", name, got, err)
		}
	}
}
