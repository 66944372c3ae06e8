package cli

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"drover/internal/fault"
)

// steps are what the two troubleshooting documents (docs/seeds.md, 2 and 3) tell to look
// at, to change, to verify and to take back, under each of their headings.
var steps = map[string]map[string][]string{
	"2": {
		"Symptom & Impact":           {"Live migration fails between hosts"},
		"Environment & Reproduction": {"mixed CredSSP and Kerberos configuration", "Get-VMHost | Select VirtualMachineMigrationEnabled,VirtualMachineMigrationAuthenticationType", "Get-VMHostNetworkAdapter"},
		"Root Cause Analysis":        {"Authentication provider mismatch or constrained delegation gaps"},
		"Quick Triage":               {"Validate host reachability", "SPN health", "Test-NetConnection -Port 6600", "setspn -Q Microsoft Virtual System Migration Service/*"},
		"Step-by-Step Diagnosis":     {"Get-WinEvent -LogName Microsoft-Windows-Hyper-V-VMMS-Admin -MaxEvents 200", "Get-VMHost | fl *Migration*"},
		"Primary Fix":                {"configure constrained delegation for migration services", "Set-VMHost -VirtualMachineMigrationAuthenticationType Kerberos", "Set-VMHost -UseAnyNetworkForMigration $true"},
		"Alternative Approaches":     {"Set-VMHost -VirtualMachineMigrationAuthenticationType CredSSP"},
		"Verification":               {"A test VM migrates successfully in both directions", "Move-VM -Name -DestinationHost -IncludeStorage"},
		"Rollback Plan":              {"restore prior delegation entries from documented baseline"},
		"Prevention & Hardening":     {"monitor delegation drift"},
		"Related Errors":             {"KDC errors", "duplicate SPNs", "WinRM trust boundary misconfiguration"},
	},
	"3": {
		"Symptom & Impact":           {"live migration authentication fails"},
		"Environment & Reproduction": {"Get-VMHost | Select VirtualMachineMigrationEnabled,VirtualMachineMigrationAuthenticationType", "Move-VM -Name APP01 -DestinationHost HV02 -WhatIf", "setspn -L HV01"},
		"Root Cause Analysis":        {"Constrained delegation for CIFS/Microsoft Virtual System Migration Service is missing", "set on wrong object"},
		"Quick Triage":               {"Validate migration authentication mode and SPN health", "Get-ClusterNode", "setspn -X", "Get-WinEvent -LogName 'Microsoft-Windows-Hyper-V-VMMS-Admin' -MaxEvents 60"},
		"Step-by-Step Diagnosis":     {"Get-ADComputer HV01 -Properties msDS-AllowedToDelegateTo", "Get-ADComputer HV02 -Properties msDS-AllowedToDelegateTo"},
		"Primary Fix":                {"Set-VMHost -VirtualMachineMigrationAuthenticationType Kerberos", "enable constrained delegation for cifs and Microsoft Virtual System Migration Service", "klist purge"},
		"Alternative Approaches":     {"Set-VMHost -VirtualMachineMigrationAuthenticationType CredSSP", "Move-VM -Name APP01 -DestinationHost HV02"},
		"Verification":               {"Move-VM -Name APP01 -DestinationHost HV02", "Get-VM -ComputerName HV02 APP01"},
		"Rollback Plan":              {"Return to prior authentication mode"},
		"Prevention & Hardening":     {"Get-VMHost -ComputerName HV01,HV02 | Select ComputerName,VirtualMachineMigrationAuthenticationType"},
		"Related Errors":             {"duplicate SPNs", "stale DNS host records"},
	},
}

func doctorPage(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestEveryStepOfTheTroubleshootingDocumentsIsAnswered(t *testing.T) {
	rows := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([23]: .*?[^\\]) \| (.+?) \| (.+) \|$`).FindAllStringSubmatch(doctorPage(t), -1) {
		rows[strings.NewReplacer("`", "", `\|`, "|").Replace(m[1])] = m[3]
	}
	known := regexp.MustCompile("`([a-z]+(?:-[a-z]+)+)`")
	for document, headings := range steps {
		for heading, list := range headings {
			for _, step := range list {
				answer, found := rows[document+": "+step]
				if !found {
					t.Errorf("document %s, %s: %q has no row in docs/doctor.md", document, heading, step)
					continue
				}
				codes := known.FindAllStringSubmatch(answer, -1)
				if len(codes) == 0 && !strings.HasPrefix(answer, "not covered") && answer != "by the cause" {
					t.Errorf("%q has neither a code nor a reason why not: %s", step, answer)
				}
			}
		}
	}
}

// The page names codes that exist, and each of those that only the doctor has.
func TestDoctorPageKnowsItsCodes(t *testing.T) {
	page := doctorPage(t)
	for _, m := range regexp.MustCompile(`(?m)^\|.*`).FindAllString(page, -1) {
		cells := strings.Split(m, "|")
		for _, c := range regexp.MustCompile("`([a-z]+(?:-[a-z]+)+)`").FindAllStringSubmatch(cells[len(cells)-2], -1) {
			if _, ok := fault.Lookup(fault.Code(c[1])); !ok {
				t.Errorf("%s is no code", c[1])
			}
		}
	}
	for _, e := range fault.All() {
		only := slices.ContainsFunc([]string{"dns-", "port-", "short-name-", "hosts-file"}, func(prefix string) bool { return strings.HasPrefix(string(e.Code), prefix) })
		if only && !strings.Contains(page, "`"+string(e.Code)+"`") {
			t.Errorf("docs/doctor.md does not have %s", e.Code)
		}
	}
}
