package plan_test

import (
	"slices"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/internal/wire"
)

func TestTransportIsWhatBothHostsAgreeOn(t *testing.T) {
	able := wire.HostFacts{Host: "HV02", Codecs: append([]string{"lz9"}, plan.Codecs()...)}
	plain := wire.HostFacts{Host: "HV02", Codecs: able.Codecs, Plain: true}
	for name, tc := range map[string]struct {
		change func(*settings.Settings, *record.Request)
		dst    wire.HostFacts
		want   plan.Carriage
		codec  string
		note   string
		code   fault.Code
	}{
		"as set": {dst: able, want: plan.Carriage{Performance: settings.Compression}, codec: "Compression (adaptive: none, s2, zstd; pages)"},
		"as asked for": {dst: able, want: plan.Carriage{Performance: settings.TCPIP, Bandwidth: 5e6}, codec: "TCPIP (uncompressed)",
			change: func(_ *settings.Settings, r *record.Request) { r.Performance, r.Bandwidth = settings.TCPIP, 5e6 }},
		"the destination cannot decompress": {dst: wire.HostFacts{Host: "HV02"}, want: plan.Carriage{Performance: settings.TCPIP},
			codec: "TCPIP (uncompressed)", note: "HV02 cannot decompress"},
		"the destination is older": {dst: wire.HostFacts{Host: "HV02", Codecs: []string{"zstd"}}, want: plan.Carriage{Performance: settings.TCPIP},
			codec: "TCPIP (uncompressed)", note: "HV02 cannot decompress"},
		"both say Off":     {dst: plain, change: encryption(settings.Off), want: plan.Carriage{Performance: settings.Compression, Plain: true}, codec: "Compression (adaptive: none, s2, zstd; pages)"},
		"only one says":    {dst: able, change: encryption(settings.Off), want: plan.Carriage{Performance: settings.Compression}, codec: "Compression (adaptive: none, s2, zstd; pages)"},
		"only the other":   {dst: plain, change: encryption(settings.Required), want: plan.Carriage{Performance: settings.Compression}, codec: "Compression (adaptive: none, s2, zstd; pages)"},
		"allowed encrypts": {dst: plain, change: encryption(settings.Allowed), want: plan.Carriage{Performance: settings.Compression}, codec: "Compression (adaptive: none, s2, zstd; pages)"},
		"SMB":              {dst: able, change: func(s *settings.Settings, _ *record.Request) { s.Performance = settings.SMB }, code: fault.NotAvailable},
		"SMB is set and TCPIP asked for": {dst: able, want: plan.Carriage{Performance: settings.TCPIP}, codec: "TCPIP (uncompressed)",
			change: func(s *settings.Settings, r *record.Request) {
				s.Performance, r.Performance = settings.SMB, settings.TCPIP
			}},
		"CredSSP": {dst: able, change: func(s *settings.Settings, _ *record.Request) { s.Authentication = settings.CredSSP }, code: fault.NotAvailable},
	} {
		t.Run(name, func(t *testing.T) {
			own, req := settings.Default(), record.Request{}
			if tc.change != nil {
				tc.change(&own, &req)
			}
			got, notes, err := plan.Transport("HV01", req, own, tc.dst)
			if tc.code != "" {
				if !fault.Is(err, tc.code) {
					t.Errorf("error %v, want %s", err, tc.code)
				}
				return
			}
			if err != nil || got != tc.want || got.Codec() != tc.codec {
				t.Errorf("%+v (%s), %v, want %+v", got, got.Codec(), err, tc.want)
			}
			if (tc.note != "") != (len(notes) > 0) || tc.note != "" && !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, tc.note) }) {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

func encryption(e settings.Encryption) func(*settings.Settings, *record.Request) {
	return func(s *settings.Settings, _ *record.Request) { s.Encryption = e }
}
