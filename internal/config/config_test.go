package config

import (
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

func TestParseRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"unknown key", "storage:\n  rots: [/srv]\n", "rots"},
		{"settings of former versions", "host: HV01\nmigration:\n  enabled: true\n", "`drover host set`"},
		{"unknown key at top", "hots: HV01\n", "hots"},
		{"duplicate key", "host: A\nhost: B\n", "host"},
		{"second document", "host: A\n---\nshutdown_timeout: 1m\n", "more than one document"},
		{"relative root", "storage:\n  roots: [vms]\n", "vms"},
		{"root is everything", "storage:\n  roots: [/]\n", "below /"},
		{"role by name", "roles:\n  operator: [Drover Operators]\n", "neither a SID"},
		{"principal without realm", "local_users:\n  root: admin\n", "USER@REALM"},
		{"duration as number", "shutdown_timeout: 5 minutes\n", "duration"},
		{"negative duration", "shutdown_timeout: -5s\n", "negative"},
		{"events that are forgotten at once", "events:\n  max_age: 5m\n", "between 1h"},
		{"events in days", "events:\n  max_age: 90d\n", "duration"},
		{"hardly any events", "events:\n  max_entries: 10\n", "between 1000"},
		{"negative number of events", "events:\n  max_entries: -1\n", "between 1000"},
		{"level", "log:\n  level: loud\n", "loud"},
		{"long run_dir", "run_dir: /" + strings.Repeat("x", 60) + "\n", "longer than 40"},
		{"address without port", "api:\n  listen: [10.0.0.1]\n", "ADDRESS:PORT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse([]byte(tc.in))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Parse(%q) = %v, want an error with %q", tc.in, err, tc.want)
			}
		})
	}
}

func TestMarksOfOneDocumentAreNoSecondOne(t *testing.T) {
	for _, in := range []string{"---\nhost: A\n", "host: A\n---\n", "# about\n---\nhost: A\n...\n"} {
		if c, err := Parse([]byte(in)); err != nil || c.Host != "A" {
			t.Errorf("%q: %+v, %v", in, c, err)
		}
	}
}

func TestEmptyFileGivesDefaults(t *testing.T) {
	c, err := Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := time.Duration(c.ShutdownTimeout); got != 5*time.Minute {
		t.Errorf("shutdown_timeout = %v", got)
	}
	if !strings.HasSuffix(c.Kerberos.Account, "$") {
		t.Errorf("account = %q, want a computer account", c.Kerberos.Account)
	}
}

func TestMarshalledConfigReadsBackTheSame(t *testing.T) {
	c, err := Parse([]byte("host: HV01\nshutdown_timeout: 90s\nlocal_users:\n  root: admin@LAB.DROVER.TEST\n"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(b)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	b2, _ := yaml.Marshal(again)
	if string(b) != string(b2) {
		t.Fatalf("first:\n%s\nsecond:\n%s", b, b2)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("host: HV01\n"))
	f.Add([]byte("storage: {roots: [/srv]}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		out, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(out); err != nil {
			t.Fatalf("accepted once, refused when written back: %v\n%s", err, out)
		}
	})
}

func TestSizesAndAgesOfSeeds(t *testing.T) {
	c, err := Parse([]byte("storage: {seeds: {max_age: 0s, max_size: 1.5TiB}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if *c.Storage.Seeds.MaxAge != 0 || *c.Storage.Seeds.MaxSize != 1536<<30 {
		t.Errorf("%+v", c.Storage.Seeds)
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Parse(b); err != nil || *again.Storage.Seeds.MaxAge != 0 || *again.Storage.Seeds.MaxSize != 1536<<30 {
		t.Errorf("%v of\n%s", err, b)
	}
	if c, err = Parse([]byte("storage: {seeds: {max_size: 0}}\n")); err != nil || *c.Storage.Seeds.MaxSize != 0 || *c.Storage.Seeds.MaxAge == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{"max_size: much", "max_size: -1", "max_size: 9999999999999GiB", "max_age: -1h", "max_age: 100000h"} {
		if _, err := Parse([]byte("storage: {seeds: {" + bad + "}}\n")); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
