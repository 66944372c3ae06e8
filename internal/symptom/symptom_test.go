package symptom

import (
	"fmt"
	"strings"
	"testing"

	"drover/internal/fault"
)

// first is what a text is recognised as.
func first(text string) string {
	m := Find(text)
	switch {
	case len(m) == 0:
		return ""
	case m[0].Entry != nil:
		return string(m[0].Entry.Code)
	}
	return m[0].Symptom.ID
}

func TestPastedTextIsRecognised(t *testing.T) {
	for text, want := range map[string]string{
		// The same number in every form.
		"0x8009030E":                      "0x8009030E",
		"0X8009030e":                      "0x8009030E",
		"8009030E":                        "0x8009030E",
		"-2146893042":                     "0x8009030E",
		"2148074254":                      "0x8009030E",
		"error -2146893042 from Move-VM":  "0x8009030E",
		"[HRESULT = 0x8009030e]":          "0x8009030E",
		"SEC_E_NO_CREDENTIALS":            "0x8009030E",
		"no credentials are available":    "0x8009030E",
		"0x569":                           "0x80070569",
		"1385":                            "0x80070569",
		"System error 1326 has occurred.": "0x8007052E",
		"0x80070569":                      "0x80070569",
		"(0x80072746)":                    "0x80072746",
		"10061":                           "0x8007274D",
		// Whole messages.
		"Virtual machine migration operation failed at migration Source.\nFailed to establish a connection with host HV02: No credentials are available in the security package 0x8009030E.": "0x8009030E",
		"Move-VM : Virtual machine migration operation for 'APP01' failed at migration source 'HV01'. (Virtual machine ID 5F3B)":                                                             "event-21024",
		"[No credentials are available in the security package (0x8009030E)]":                                                                                                                "0x8009030E",
		"Fehler beim Herstellen einer Verbindung mit dem Host TESTSERVER02: im Sicherheitspaket 0x8009030E sind keine Anmelde Informationen verf\u00fcgbar.":                                 "0x8009030E",
		"Live migration of 'Virtual Machine VM01' failed.":                                                                                                                                   "event-21502",
		"event 21502":                          "event-21502",
		"21024":                                "event-21024",
		"Event ID: 20306, Source Hyper-V-VMMS": "event-20306",
		"virtual machine migration limit \"2\" was reached": "event-21501",
		"KDC_ERR_BADOPTION":                 "KDC_ERR_BADOPTION",
		"Error Code: 0xd KDC_ERR_BADOPTION": "KDC_ERR_BADOPTION",
		"kinit: KDC can't fulfill requested option while getting credentials": "KDC_ERR_BADOPTION",
		"KDC error 13":                  "KDC_ERR_BADOPTION",
		"GSSAPI minor code -1765328377": "KDC_ERR_S_PRINCIPAL_UNKNOWN",
		"Server cifs/hv02@EXAMPLE.ORG not found in Kerberos database":                                                              "KDC_ERR_S_PRINCIPAL_UNKNOWN",
		"krb5_get_init_creds: Clock skew too great":                                                                                "KRB_AP_ERR_SKEW",
		"The Kerberos client received a KRB_AP_ERR_MODIFIED error from the server hv02$":                                           "KRB_AP_ERR_MODIFIED",
		"kvno: KDC has no support for encryption type while getting credentials for HOST/hv":                                       "KDC_ERR_ETYPE_NOSUPP",
		"kinit: Cannot contact any KDC for realm 'EXAMPLE.ORG' while getting initial cred":                                         "cannot-contact-kdc",
		"error: internal error: Attempt to migrate guest to the same host 4c4c4544":                                                "libvirt-same-host",
		"operation failed: guest CPU doesn't match specification: missing features: pcid":                                          "libvirt-cpu",
		"Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainMigratePerform3Params)": "libvirt-busy",
		"qemu-kvm: error while loading state for instance 0x0 of device '0000:00:02.0/virtio-net'":                                 "qemu-load",
		"qemu: Failed to get \"write\" lock\nIs another process using the image [/var/lib/x.qcow2]?":                               "qemu-lock",
		// Drover's own.
		"delegation-missing":        "delegation-missing",
		"error (clock-skew): clock": "clock-skew",
		"the clock of HV01 and the clock of dc1.example.org differ by 7m; Kerberos allows 5 minutes": "clock-skew",
		// Nothing.
		"":             "",
		"hello there":  "",
		"0x12345678":   "",
		"the VM is up": "",
	} {
		if got := first(text); got != want {
			t.Errorf("%q is recognised as %q, want %q", text, got, want)
		}
	}
}

func TestBestMatchStandsBeforeTheGeneralOne(t *testing.T) {
	m := Find("Event ID 21502. Virtual machine migration operation for 'VM' failed at migration source 'HOST3'. Failed to establish a connection with host 'host2': No connection could be made because the target machine actively refused it. (0x8007274D)")
	if len(m) < 2 || m[0].Symptom == nil || m[0].Symptom.ID != "0x8007274D" {
		t.Errorf("%+v", m)
	}
}

// Each symptom is found by what it says itself.
func TestEverySymptomIsFoundByItsOwnTexts(t *testing.T) {
	for _, s := range All() {
		texts := append([]string{s.Title}, s.Texts...)
		if s.Number != 0 {
			texts = append(texts, fmt.Sprintf("0x%08X", s.Number), fmt.Sprint(s.Number), fmt.Sprint(int32(s.Number)))
		}
		if s.Kerberos != 0 {
			texts = append(texts, fmt.Sprintf("krb5 error %d", s.Kerberos), fmt.Sprint(krb5Base+s.Kerberos))
		}
		if s.Event != 0 {
			texts = append(texts, fmt.Sprintf("event %d", s.Event))
		}
		for _, text := range texts {
			if got := first(strings.ReplaceAll(text, "*", "X")); got != s.ID {
				t.Errorf("%q of %s is recognised as %q", text, s.ID, got)
			}
		}
	}
}

func TestSymptomsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range All() {
		if seen[s.ID] {
			t.Errorf("%s is there twice", s.ID)
		}
		seen[s.ID] = true
		if s.Means == "" || s.Source == "" || len(s.Causes) == 0 || len(s.Run) == 0 || s.Origin == "" {
			t.Errorf("%s is incomplete: %+v", s.ID, s)
		}
		if strings.Count(strings.TrimSuffix(s.Means, "."), ". ") > 1 {
			t.Errorf("%s means more than can be read aloud: %s", s.ID, s.Means)
		}
		for _, c := range s.Codes() {
			if _, ok := fault.Lookup(c); !ok {
				t.Errorf("%s leads to %s, which is no code", s.ID, c)
			}
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, s := range All() {
		f.Add(s.Title)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n := len(Find(text)); n > most {
			t.Errorf("%d matches", n)
		}
	})
}
