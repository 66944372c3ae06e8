package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/openapi.json")

const document = "../../docs/openapi.json"

// servedDocument has a fixed version, so that a release does not change it.
func servedDocument(t *testing.T) []byte {
	t.Helper()
	b := start(t, func(o *Options) { o.Version = "1" })
	resp, body := ask(t, rawTLS(t, b.addr), "GET", "/openapi.json", "")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/openapi+json" {
		t.Fatal(resp.Status, resp.Header)
	}
	return []byte(body + "\n")
}

func TestDocumentIsCheckedIn(t *testing.T) {
	got := servedDocument(t)
	if *update {
		if err := os.WriteFile(document, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, got) {
		t.Error("docs/openapi.json is not what the server serves; run go test ./internal/api -run TestDocument -update")
	}
}

func TestDocumentDescribesEveryOperation(t *testing.T) {
	var d struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Security  []map[string][]string `json:"security"`
			Responses map[string]struct {
				Content map[string]struct {
					Schema map[string]any `json:"schema"`
				} `json:"content"`
			} `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(servedDocument(t), &d); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %s", d.OpenAPI)
	}
	for _, route := range []string{"get /v1/hello", "post /v1/session", "get /v1/host", "get /v1/vms", "get /v1/vms/{vm}", "post /v1/moves",
		"get /v1/moves", "get /v1/moves/{id}", "get /v1/moves/{id}/events", "post /v1/moves/{id}/cancel",
		"post /v1/moves/{id}/resolve", "get /v1/tickets", "delete /v1/tickets", "post /v1/delegation/probe", "get /healthz"} {
		method, path, _ := strings.Cut(route, " ")
		op, ok := d.Paths[path][method]
		if !ok {
			t.Errorf("no %s", route)
			continue
		}
		if (len(op.Security) == 0) != openPaths[path] {
			t.Errorf("%s: security %v", route, op.Security)
		}
		if _, ok := op.Responses["default"].Content[problemType]; !ok {
			t.Errorf("%s: errors are not described as %s: %v", route, problemType, op.Responses)
		}
	}
	for schema, member := range map[string]string{"Problem": "hint", "Record": "phase", "Event": "seq", "DiskPlan": "action", "Disk": "target", "Attempt": "method"} {
		if _, ok := d.Components.Schemas[schema].Properties[member]; !ok {
			t.Errorf("schema %s has no %s", schema, member)
		}
	}
}
