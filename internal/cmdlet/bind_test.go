package cmdlet

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/settings"
)

// own are options of drover, as a verb would have them.
func own(name string) (known, takesValue bool) {
	return slices.Contains([]string{"host", "socket", "output", "yes", "to", "maximum-migrations", "vhds"}, name), name != "yes"
}

// read binds the words of a line, as a shell of PowerShell's kind splits it.
func read(t *testing.T, line string) (*Call, error) {
	t.Helper()
	words, err := Words(line)
	if err != nil {
		t.Fatal(err)
	}
	c, ok := Lookup(words[0])
	if !ok {
		t.Fatalf("%s is no cmdlet", words[0])
	}
	return Bind(c, words[1:], own)
}

func present(t *testing.T) []settings.Network {
	t.Helper()
	var out []settings.Network
	for _, s := range []string{"192.168.10.1,priority=3,bandwidth=500M", "10.0.0.0/24", "2001:db8:1::/64,priority=9"} {
		n, err := settings.ParseNetwork(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}

func TestCommandLinesBecomeVerbs(t *testing.T) {
	for line, want := range map[string]string{
		"Enable-VMMigration":                "host set --live-migration on",
		"enable-vmmigration --socket x.so":  "host set --live-migration on --socket x.so",
		"Disable-VMMigration -Verbose":      "host set --live-migration off",
		"Set-VMMigrationNetwork 172.16.0.1": "host set --add-network 172.16.0.1",
		// There already: it stays as it is, its limit included.
		"Set-VMMigrationNetwork 192.168.10.1":                            "host set --add-network 192.168.10.1/32,priority=3,bandwidth=500M",
		"Set-VMMigrationNetwork 192.168.10.1 192.168.10.3":               "host set --remove-network 192.168.10.1/32 --add-network 192.168.10.3,priority=3,bandwidth=500M",
		"Set-VMMigrationNetwork 192.168.10.* 192.168.10.3":               "host set --remove-network 192.168.10.1/32 --add-network 192.168.10.3,priority=3,bandwidth=500M",
		"Set-VMMigrationNetwork 2001:db8:1:0::/64 -NewPriority 12":       "host set --add-network 2001:db8:1::/64,priority=12",
		"Set-VMMigrationNetwork -Subnet 10.0.0.0/24 -NewP:0 -NewS fd::1": "host set --remove-network 10.0.0.0/24 --add-network fd::1,priority=0",
		"Add-VMMigrationNetwork 192.168.10.0/24 8":                       "host set --add-network 192.168.10.0/24,priority=8",
		"Remove-VMMigrationNetwork 192.168.*, 10.0.0.0/24":               "host set --remove-network 192.168.10.1/32 --remove-network 10.0.0.0/24",
		"Remove-VMMigrationNetwork 192.168.10.1,192.168.*":               "host set --remove-network 192.168.10.1/32",
		"Set-VMHost -VirtualMachineMigrationAuthenticationType Kerberos": "host set --authentication Kerberos",
		"Set-VMHost -VirtualMachineMigrationPerf SMB":                    "host set --performance SMB",
		"Set-VMHost -UseAnyNetworkForMigration $true":                    "host set --any-network on",
		"Set-VMHost -Use:$FALSE -MaximumV 4 -MaximumS 1":                 "host set --maximum-migrations 4 --maximum-storage-migrations 1 --any-network off",
		"Set-VMHost –UseAny True":                                        "host set --any-network on",
		"Move-VM -Name APP01 -DestinationHost HV02":                      "move --vm APP01 --to HV02",
		"Move-VM APP01 HV02 -IncludeStorage -WhatIf":                     "move --vm APP01 --to HV02 --include-storage --dry-run",
		"Move-VM APP01 HV02 -IncludeStorage:$false -WhatIf:$false":       "move --vm APP01 --to HV02",
		"Move-VM APP01 -DestinationH HV02 -AsJob --yes":                  "move --vm APP01 --to HV02 --detach --yes",
		"Move-VM APP01 , 'APP 02' -DestinationHost HV02":                 "move APP01 APP 02 --to HV02",
		"Move-VM APP01 HV02 -inc -DestinationS /srv/b -ret":              "move --vm APP01 --to HV02 --include-storage --destination-storage-path /srv/b --retain-vhd-copies-on-source",
		"Move-VM APP01 HV02 -Vhds vda=/srv/x,vdb=/srv/y":                 "move --vm APP01 --to HV02 --include-storage --vhds vda=/srv/x --vhds vdb=/srv/y",
		"Compare-VM APP01 HV02 -IncludeStorage -WhatIf -AsJob":           "compare APP01 --to HV02 --include-storage",
		"Move-VM APP01 HV02 -Vhds vda=/srv/x --vhds vdb=/srv/y":          "move --vm APP01 --to HV02 --include-storage --vhds vda=/srv/x --vhds vdb=/srv/y",
		"setspn -X": "spn duplicates",
		"setspn -Q Microsoft Virtual System Migration Service/*": "spn find Microsoft Virtual System Migration Service/*",
		"SETSPN -l HV01":      "spn list HV01",
		"setspn HV01":         "spn list HV01",
		"setspn -F -Q cifs/*": "spn find cifs/* --forest",
		"setspn -T * -F -X":   "spn duplicates --forest",
		"setspn -S Microsoft Virtual System Migration Service/A A$": "spn add A$ Microsoft Virtual System Migration Service/A",
		"setspn -D cifs/A svc":      "spn delete svc cifs/A",
		"klist":                     "ticket list",
		"klist purge":               "ticket purge",
		"KLIST PURGE –LI 0x3e7":     "ticket purge",
		"klist -lh 0 -li 3E7 purge": "ticket purge",
		`Move-VM APP01 HV02 -VHDs @(@{"SourceFilePath" = "/a/1.qcow2"; "DestinationFilePath" = '/b/1.qcow2'}, @{SourceFilePath=/a/2; DestinationFilePath=/b/2})`: "move --vm APP01 --to HV02 --include-storage --vhds /a/1.qcow2=/b/1.qcow2 --vhds /a/2=/b/2",
	} {
		call, err := read(t, line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		got, err := call.Native(nil, present(t))
		if s := strings.Join(got, " "); err != nil || s != want {
			t.Errorf("%s\n  %s %v, want\n  %s", line, s, err, want)
		}
	}
}

func TestCommandLinesThatAreRefused(t *testing.T) {
	for line, want := range map[string]string{
		"Move-VM -Name -DestinationHost -IncludeStorage": "the value of -Name and -DestinationHost is missing",
		"Move-VM":                                                    "needs -Name and -DestinationHost",
		"Move-VM APP01 HV02 HV03":                                    `no parameter is left for "HV03"`,
		"Move-VM APP01 HV02 -V":                                      "ambiguous: it may be -Name, -Vhds, -VirtualMachinePath, -VM, -Verbose",
		"Move-VM APP01 HV02 -Frob":                                   "has no parameter -Frob",
		"Move-VM APP01 HV02 -Name APP02":                             "no parameter is left",
		"Move-VM -Name APP01 -Name APP02 HV02":                       "given twice",
		"Move-VM APP01 HV02 -ResourcePoolName x":                     "resource pools",
		"Move-VM APP01 HV02 --frob":                                  "no option --frob",
		"Move-VM APP01 HV02 --host":                                  "the value of --host is missing",
		"Move-VM APP01 HV02 --to HV03":                               "--to is given twice",
		"Set-VMHost -MaximumV 4 --maximum-migrations=3":              "--maximum-migrations is given twice",
		"Move-VM APP01, HV02":                                        "needs -DestinationHost",
		"Move-VM APP01,,APP02 HV02":                                  "empty element",
		"Move-VM APP01 HV02 -IncludeStorage:maybe":                   "neither $true nor $false",
		"Move-VM APP01 HV02 -Vhds vda":                               "neither TARGET=PATH",
		"Move-VM APP01 HV02 -Vhds @{SourceFilePath=/a}":              "needs SourceFilePath and DestinationFilePath",
		"Move-VM APP01 HV02 -Vhds @{Source=/a}":                      `"Source=/a"`,
		"Move-VM APP01 HV02 | fl":                                    "is not an object",
		"Set-VMHost":                                                 "needs a setting",
		"Set-VMHost -UseAnyNetworkForMigration":                      "quote them",
		"Set-VMHost -UseAnyNetworkForMigration HV01":                 "neither $true nor $false",
		"Set-VMHost -UseAnyNetworkForMigration -MaximumV 4":          "quote them",
		"Set-VMHost -MaximumV many":                                  "not a number",
		"Set-VMHost -NumaSpanningEnabled $true":                      "live migration, and nothing else",
		"Set-VMHost -ErrorVariable x -MaximumV 1":                    "PowerShell's own",
		"Set-VMMigrationNetwork":                                     "needs -Subnet",
		"Set-VMMigrationNetwork 172.16.0.1 -NewPriority 3":           "is no migration network; the host has 192.168.10.1/32",
		"Set-VMMigrationNetwork 1* 10.1.0.0/16":                      "more than one migration network",
		"Remove-VMMigrationNetwork 172.16.*":                         "is no migration network",
		"Get-VMHost |":                                               "nothing follows",
		"Get-VMHost | fl | | ft":                                     "nothing stands between",
		"Get-VMHost | Sort-Object Name":                              "drover has no pipeline",
		"Get-VMHost | Select Name":                                   "there is no property Name",
		"Get-VMHost -Format Wide":                                    "none of List, Table, Json",
		"Get-WinEvent -MaxEvents 3":                                  "needs -LogName",
		"setspn":                                                     "needs an option",
		"setspn -Q":                                                  "needs a name",
		"setspn -X HV01":                                             "takes no argument",
		"setspn -L -X HV01":                                          "takes one of",
		"setspn -R HV01":                                             "no counterpart",
		"setspn -S cifs/A":                                           "needs a name and an account",
		"klist get cifs/HV01":                                        "takes one command",
		"klist kcd_cache":                                            "no counterpart",
		"klist purge -li 0x1234":                                     "one session",
		"klist purge -li":                                            "missing",
		"Get-VM -Name":                                               "the value of -Name is missing",
		"Test-NetConnection -Port 70000000000":                       "not a number",
		"Get-ADComputer -Filter *":                                   "one account at a time",
		"Get-VMHost -ComputerName HV01 -Credential (Get-Credential)": "Kerberos ticket",
	} {
		call, err := read(t, line)
		if err == nil {
			_, err = call.Native(nil, present(t))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n  %v, want %q", line, err, want)
		}
	}
}

func TestHelpIsAskedFor(t *testing.T) {
	for _, line := range []string{"Move-VM -?", "klist --help", "setspn /?", "Get-VM -h"} {
		if _, err := read(t, line); !errors.Is(err, ErrHelp) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestShapes(t *testing.T) {
	for line, want := range map[string]Shape{
		"Get-VMHost": {},
		"Get-VMHost | Select VirtualMachineMigrationEnabled,VirtualMachineMigrationAuthenticationType":      {Picks: [][]string{{"VirtualMachineMigrationEnabled", "VirtualMachineMigrationAuthenticationType"}}},
		"Get-VMHost -ComputerName HV01 , HV02 | select-object ComputerName, VirtualMachineMigrationEnabled": {Picks: [][]string{{"ComputerName", "VirtualMachineMigrationEnabled"}}},
		"Get-VMHost|fl *Migration*":                        {Form: AsList, Picks: [][]string{{"*Migration*"}}},
		"Get-VMHost | Select *Migration* | FT -AutoSize":   {Form: AsTable, Picks: [][]string{{"*Migration*"}}},
		"Get-VM | Select Name --socket x -o json":          {Picks: [][]string{{"Name"}}},
		"Get-VM | ConvertTo-Json -Depth 3":                 {Form: AsJSON},
		"Get-VM -Select Name,State -Format list":           {Form: AsList, Picks: [][]string{{"Name", "State"}}},
		"Get-VM | Select -First 3 -ExpandProperty Name":    {First: 3, Expand: "Name"},
		"Get-ADComputer HV01 -Properties x | fl name,what": {Form: AsList, Picks: [][]string{{"name", "what"}}},
	} {
		call, err := read(t, line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff(want, call.Shape); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
}

func TestPropertiesAreChosenOneAfterTheOther(t *testing.T) {
	s := Shape{Picks: [][]string{{"*e", "b"}, {"O?e", "B"}}}
	got, err := s.Choose([]string{"One", "Two", "Three", "b"})
	if err != nil || !slices.Equal(got, []string{"One", "b"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// Whoever misspells a parameter would otherwise change another one.
func TestNoTwoParametersShareANameOrAlias(t *testing.T) {
	names := map[string]bool{}
	for _, c := range All() {
		for _, n := range append([]string{c.Name}, c.Aliases...) {
			if names[strings.ToLower(n)] {
				t.Errorf("%s is there twice", n)
			}
			names[strings.ToLower(n)] = true
		}
		seen := map[string]bool{}
		for _, p := range c.Parameters {
			for _, n := range append([]string{p.Name}, p.Aliases...) {
				if seen[strings.ToLower(n)] {
					t.Errorf("%s has -%s twice", c.Name, n)
				}
				seen[strings.ToLower(n)] = true
			}
		}
		for _, s := range c.Shown {
			if !slices.Contains(c.Properties, s) {
				t.Errorf("%s shows %s, which is no property", c.Name, s)
			}
		}
	}
}
