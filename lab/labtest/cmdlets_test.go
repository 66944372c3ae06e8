package labtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"drover/internal/config"
	"drover/internal/directory"
	"drover/internal/record"
	"drover/internal/spn"
	"drover/lab"
)

// TestCmdlets has the command lines of the documents do what they do there, against a
// directory and hosts.
func TestCmdlets(t *testing.T) {
	s := startSite(t, lab.Options{Name: "cmdlets", Hosts: []string{lab.HV01, lab.HV02}})
	s.signIn(t, lab.UserAdmin)
	t.Run("directory", s.testCmdletsOfTheDirectory)
	t.Run("ports", s.testCmdletsOfPorts)
	t.Run("settings", s.testCmdletsOfSettings)
	t.Run("move", s.testCmdletsOfMoves)
}

// line runs a command line and wants an exit status; it gives what was printed.
func (s *site) line(t *testing.T, status int, line string, more ...string) string {
	t.Helper()
	r := s.drover(t, append([]string{line}, more...)...)
	if r.Status != status {
		t.Fatalf("%s: status %d, want %d\n%s%s", line, r.Status, status, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// objects runs a command line that puts out objects.
func (s *site) objects(t *testing.T, line string, more ...string) (out []map[string]any) {
	t.Helper()
	text := s.line(t, 0, line, append(more, "-o", "json")...)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, text)
	}
	return out
}

func (s *site) testCmdletsOfTheDirectory(t *testing.T) {
	stored, err := s.Directory().Values(t.Context(), lab.HostDN(lab.HV01), directory.AttributeDelegateTo)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(stored, spn.IsTwin)
	slices.Sort(want)
	got := s.objects(t, "Get-ADComputer HV01 -Properties msDS-AllowedToDelegateTo,operatingSystem,objectGUID")
	if len(got) != 1 || got[0]["SamAccountName"] != "HV01$" || got[0]["DistinguishedName"] != lab.HostDN(lab.HV01) || got[0]["Enabled"] != true {
		t.Fatalf("%v", got)
	}
	var delegated []string
	for _, v := range got[0]["msDS-AllowedToDelegateTo"].([]any) {
		delegated = append(delegated, v.(string))
	}
	if slices.Sort(delegated); len(want) == 0 || !slices.Equal(delegated, want) {
		t.Errorf("%q, want %q", delegated, want)
	}
	if out := s.line(t, 0, "Get-ADComputer HV02 -Properties msDS-AllowedToDelegateTo"); !strings.Contains(out, "msDS-AllowedToDelegateTo : {") {
		t.Error(out)
	}
	s.line(t, 3, "Get-ADComputer "+lab.UserOperator)
	if out := s.line(t, 0, "setspn -L HV01"); !strings.Contains(out, spn.Migration+"/HV01") {
		t.Error(out)
	}
	// Unquoted: each word an argument.
	r := s.drover(t, "setspn", "-Q", "Microsoft", "Virtual", "System", "Migration", "Service/*")
	if r.Status != 0 || !strings.Contains(r.Stdout, spn.Migration+"/HV02") || strings.Contains(r.Stdout, "cifs/") {
		t.Errorf("%+v", r)
	}
	s.line(t, 0, "setspn -X")
}

// testCmdletsOfPorts: port 6600 answers on the migration network and nowhere else.
func (s *site) testCmdletsOfPorts(t *testing.T) {
	here := func(status int, line string) {
		t.Helper()
		r, err := s.DroverOn(t.Context(), lab.HV01, nil, line)
		if err != nil || r.Status != status {
			t.Errorf("%s: status %d, want %d, %v\n%s%s", line, r.Status, status, err, r.Stdout, r.Stderr)
		}
	}
	here(0, "Test-NetConnection -Port 6600")
	here(0, "Test-NetConnection "+s.Member(lab.HV02).Address(lab.Migration)+" -Port 6600")
	here(11, "Test-NetConnection "+s.Member(lab.HV02).Address(lab.Management)+" -Port 6600")
	s.line(t, 0, fmt.Sprintf("Test-NetConnection HV02 -Port %d", config.APIPort))
	for _, a := range s.objects(t, "Get-VMHostNetworkAdapter -ComputerName HV01") {
		migration := strings.Contains(fmt.Sprint(a["IPAddresses"]), s.Member(lab.HV01).Address(lab.Migration)+"/")
		if a["UsedForMigration"] != migration {
			t.Errorf("%v", a)
		}
	}
}

func (s *site) testCmdletsOfSettings(t *testing.T) {
	admin := func(status int, line string) {
		t.Helper()
		if r := s.as(t, lab.UserAdmin, line); r.Status != status {
			t.Fatalf("%s: status %d\n%s%s", line, r.Status, r.Stdout, r.Stderr)
		}
	}
	admin(0, "Set-VMHost -ComputerName HV01,HV02 -MaximumVirtualMachineMigrations 3 -UseAnyNetworkForMigration $false")
	admin(0, "Set-VMMigrationNetwork 192.168.20.0/24 -ComputerName HV01,HV02")
	admin(0, "Set-VMMigrationNetwork 192.168.20.* -NewPriority 50 -ComputerName HV01")
	for _, h := range s.objects(t, "Get-VMHost -ComputerName HV01,HV02 | Select ComputerName,Maximum*Migrations") {
		if len(h) != 3 || h["MaximumVirtualMachineMigrations"] != 3.0 {
			t.Errorf("%v", h)
		}
	}
	if n := s.objects(t, "Get-VMMigrationNetwork -ComputerName HV01 -Priority 50"); len(n) != 1 || n[0]["Subnet"] != "192.168.20.0/24" {
		t.Errorf("%v", n)
	}
	admin(0, "Remove-VMMigrationNetwork 192.168.20.0/24 -ComputerName HV01,HV02")
	s.line(t, 4, "Disable-VMMigration -ComputerName HV01") // an operator may not
	if h := s.objects(t, "Get-VMHost HV01"); h[0]["VirtualMachineMigrationEnabled"] != true {
		t.Errorf("%v", h)
	}
	admin(0, "klist purge -li 0x3e7 --host HV01")
}

func (s *site) testCmdletsOfMoves(t *testing.T) {
	vm := s.newVM(t, lab.HV01, "APP01", 1)
	s.line(t, 0, "Compare-VM -Name APP01 -DestinationHost HV02 -IncludeStorage -ComputerName HV01")
	out := s.line(t, 0, "Move-VM -Name APP01 -DestinationHost HV02 -IncludeStorage -WhatIf -ComputerName HV01")
	if !strings.Contains(out, "Dry run: nothing was changed") || !slices.Equal(s.whereRunning(t, vm), []string{lab.HV01}) {
		t.Error(out)
	}
	var rec record.Record
	text := s.line(t, 0, "Move-VM -Name APP01 -DestinationHost HV02 -IncludeStorage", "--host", lab.HV01, "-o", "json")
	if err := json.Unmarshal([]byte(text), &rec); err != nil || rec.Phase != record.Done {
		t.Fatalf("%v\n%s", err, text)
	}
	if on := s.whereRunning(t, vm); !slices.Equal(on, []string{lab.HV02}) {
		t.Errorf("runs on %q", on)
	}
	if got := s.objects(t, "Get-VM -ComputerName HV02 APP01"); len(got) != 1 || got[0]["State"] != "Running" || got[0]["ComputerName"] != lab.HV02 {
		t.Errorf("%v", got)
	}
	s.line(t, 3, "Get-VM -ComputerName HV01 APP01")
	events := s.objects(t, "Get-WinEvent -LogName Microsoft-Windows-Hyper-V-VMMS-Admin -MaxEvents 200 -ComputerName HV01")
	if !slices.ContainsFunc(events, func(e map[string]any) bool { return e["VMName"] == "APP01" && e["MoveId"] == rec.ID }) {
		t.Errorf("%v", events)
	}
}
