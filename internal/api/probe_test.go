package api

import (
	"slices"
	"strings"
	"testing"

	"drover/internal/doctor"
	"drover/internal/fault"
)

func TestProbeIsForOneselfOrByAnAdministrator(t *testing.T) {
	services := []string{"cifs/HV02"}
	for _, tc := range []struct {
		user, operator, method string
		code                   fault.Code // "" = allowed
		asked                  string
	}{
		{"operator", "", doctor.ByTicket, "", "operator@LAB"},
		{"operator", "operator@LAB", doctor.ByTransition, "", "operator@LAB"},
		{"operator", "other@LAB", doctor.ByTransition, fault.RoleMissing, ""},
		{"administrator", "other@LAB", doctor.ByTransition, "", "other@LAB"},
		{"administrator", "other@LAB", doctor.ByTicket, fault.Usage, ""},
		{"viewer", "", doctor.ByTransition, fault.RoleMissing, ""},
		{"operator", "", "guess", fault.Usage, ""},
		{"operator", "", "", fault.Usage, ""},
	} {
		t.Run(tc.user+" "+tc.operator+" "+tc.method, func(t *testing.T) {
			b := start(t)
			r, err := b.client(tc.user).ProbeDelegation(t.Context(), ProbeRequest{DestinationServices: services, Operator: tc.operator, Method: tc.method})
			if tc.code != "" {
				want(t, err, tc.code)
				if calls := b.backend.called(); len(calls) != 0 {
					t.Errorf("refused and done: %v", calls)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := b.backend.called(); !slices.Equal(got, []string{"probe " + tc.method + " " + tc.asked}) {
				t.Errorf("%q", got)
			}
			a := r.Attempts
			if len(a) != 1 || a[0].Service != "cifs/HV02" || a[0].Error == nil || a[0].Error.Code != fault.OperatorUnknown || a[0].Error.Args["operator"] != tc.asked {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestProbeOfALocalUserWithoutPrincipal(t *testing.T) {
	b := start(t, func(o *Options) {
		o.LocalMapper = func(_, _ uint32, _ int32) (Caller, error) {
			return Caller{LocalUser: "joe", Roles: []Role{Operator}}, nil
		}
	})
	c := newTestClient(t, ClientOptions{Address: "unix:" + b.socket})
	_, err := c.ProbeDelegation(t.Context(), ProbeRequest{DestinationServices: []string{"cifs/HV02"}, Method: doctor.ByTransition})
	want(t, err, fault.LocalUserUnmapped)
}

func TestProbeBoundsWhatIsAskedFor(t *testing.T) {
	b := start(t)
	for name, services := range map[string][]string{
		"none":     {},
		"too many": slices.Repeat([]string{"cifs/HV02"}, doctor.MaxProbe+1),
		"empty":    {""},
		"too long": {"cifs/" + strings.Repeat("x", maxServiceName)},
	} {
		_, err := b.client("operator").ProbeDelegation(t.Context(), ProbeRequest{DestinationServices: services, Method: doctor.ByTicket})
		if !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if calls := b.backend.called(); len(calls) != 0 {
		t.Errorf("%v", calls)
	}
}

// Of a way to another host nothing can be named but the host: no address, and no port.
func TestNetworkProbeTakesTheNameOfAHostAlone(t *testing.T) {
	b := start(t)
	for body, code := range map[string]int{
		`{"destination":"HV02"}`: 200, `{"destination":"hv02.example.org"}`: 200, `{}`: 422, `{"destination":""}`: 422, `{"destination":"HV02:22"}`: 422,
		`{"destination":"[fd00::1]"}`: 422, `{"destination":"a/b"}`: 422, `{"destination":"HV02","addresses":["192.0.2.1:22"]}`: 422,
		`{"destination":"` + strings.Repeat("x", 256) + `"}`: 422,
	} {
		if resp, text := ask(t, b.signed("operator"), "POST", "/v1/network/probe", body, "Content-Type", "application/json"); resp.StatusCode != code {
			t.Errorf("%s: %s %s", body, resp.Status, text)
		}
	}
	if calls := b.backend.called(); len(calls) != 2 {
		t.Errorf("%q", calls)
	}
	if passages, err := b.client("operator").ProbeNetwork(t.Context(), "HV02"); err != nil || len(passages) != 0 {
		t.Errorf("%v %v", passages, err)
	}
}
