package api

import (
	"net/netip"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/settings"
)

func TestSettingsTakeNothingButSettings(t *testing.T) {
	b := start(t)
	for name, c := range map[string]struct {
		body, detail string
	}{
		"unknown member":         {`{"maximum_migration": 3}`, "body.maximum_migration"},
		"revision":               {`{"revision": 3}`, "body.revision"},
		"no number":              {`{"maximum_migrations": "many"}`, "body.maximum_migrations"},
		"half a number":          {`{"maximum_migrations": 1.5}`, "body"},
		"unknown option":         {`{"performance_option": "fast"}`, "fast"},
		"unknown authentication": {`{"authentication_type": "NTLM"}`, "NTLM"},
		"unknown policy":         {`{"encryption": "Maybe"}`, "Maybe"},
		"negative rate":          {`{"bandwidth_limit": -1}`, "body"},
		"rate beyond numbers":    {`{"bandwidth_limit": 1e30}`, "body"},
		"no subnet":              {`{"add_networks": [{"subnet": "everything", "priority": 0}]}`, "body"},
		"no network":             {`{"networks": [7]}`, "body"},
		"no list":                {`{"remove_networks": "10.0.0.0/8"}`, "body"},
		"priority out of range":  {`{"add_networks": [{"subnet": "10.0.0.0/8", "priority": -1}]}`, "priority"},
		"not an object":          {`[]`, "body"},
	} {
		resp, body := ask(t, b.signed("administrator"), "PATCH", "/v1/settings", c.body, "Content-Type", "application/json")
		p := problemIn(t, resp, body)
		if resp.StatusCode < 400 || resp.StatusCode >= 500 || p.Code != fault.Usage || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
	}
	resp, body := ask(t, b.signed("operator"), "PATCH", "/v1/settings", `{"maximum_migrations": 3}`, "Content-Type", "application/json")
	if p := problemIn(t, resp, body); p.Code != fault.RoleMissing {
		t.Errorf("an operator: %s %s", resp.Status, body)
	}
	for _, call := range b.backend.called() {
		if strings.HasPrefix(call, "settings") {
			t.Errorf("reached the backend: %s", call)
		}
	}
}

func TestSettingsChangeArrivesAsItWasMeant(t *testing.T) {
	b := start(t)
	on, rate, none := true, settings.Rate(5e8), []settings.Network{}
	_, err := b.client("administrator").ChangeSettings(t.Context(), settings.Change{Incoming: &on, Bandwidth: &rate, Networks: &none})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.client("administrator").ChangeSettings(t.Context(), settings.Change{
		AddNetworks: []settings.Network{{Subnet: netip.MustParsePrefix("fd00::/64"), Priority: 3}}, RemoveNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	resp, body := ask(t, b.signed("administrator"), "PATCH", "/v1/settings", `{"performance_option": "tcp/ip"}`, "Content-Type", "application/json")
	if resp.StatusCode != 200 {
		t.Errorf("an alias: %s %s", resp.Status, body)
	}
	want := `settings {"incoming_enabled":true,"networks":[],"bandwidth_limit":500000000}` + "\n" +
		`settings {"add_networks":[{"subnet":"fd00::/64","priority":3}],"remove_networks":["10.0.0.0/8"]}` + "\n" +
		`settings {"performance_option":"TCPIP"}`
	if got := strings.Join(b.backend.called(), "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
