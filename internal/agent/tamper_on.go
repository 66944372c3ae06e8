//go:build faultinject

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"drover/internal/wire"
)

// Send makes a hostile source of this agent: with DROVERD_TAMPER=DIRECTORY the bodies of its messages
// of a kind are changed as the file DIRECTORY/KIND says, a JSON array of pairs: what is replaced in the
// JSON of the body, and by what. All that comes before, tickets and TLS, is in order.
func (s *session) Send(ctx context.Context, v any) error {
	dir, env := os.Getenv("DROVERD_TAMPER"), wire.Envelope{}
	if e, ok := v.(wire.Envelope); ok && dir != "" {
		var err error
		if env, err = tampered(dir, e); err != nil {
			return err
		}
		v = env
	}
	return s.Control.Send(ctx, v)
}

func tampered(dir string, e wire.Envelope) (wire.Envelope, error) {
	raw, err := os.ReadFile(filepath.Join(dir, string(e.Kind)))
	if os.IsNotExist(err) {
		return e, nil
	}
	var pairs [][2]string
	if err == nil {
		err = json.Unmarshal(raw, &pairs)
	}
	if err != nil {
		return e, err
	}
	var body any
	d := json.NewDecoder(bytes.NewReader(e.Body))
	d.UseNumber()
	if err := d.Decode(&body); err != nil {
		return e, err
	}
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // XML reads as XML
	if err := enc.Encode(body); err != nil {
		return e, err
	}
	for _, p := range pairs {
		if !strings.Contains(text.String(), p[0]) {
			return e, fmt.Errorf("%s has no %s: %s", e.Kind, p[0], text.String())
		}
		changed := strings.ReplaceAll(text.String(), p[0], p[1])
		text.Reset()
		text.WriteString(changed)
	}
	return wire.Envelope{Kind: e.Kind, Body: json.RawMessage(text.String())}, nil
}
