package repotest

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/config"
)

// setting is one key of drover.yaml with its default, "" if the default is empty.
type setting struct{ key, value string }

// settings lists the keys below v, a struct with yaml tags.
func settings(prefix string, v reflect.Value) (out []setting) {
	for i := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		key, f := prefix+tag, v.Field(i)
		if f.Kind() == reflect.Struct {
			out = append(out, settings(key+".", f)...)
			continue
		}
		out = append(out, setting{key, plain(f)})
	}
	return out
}

func plain(f reflect.Value) string {
	if f.Kind() == reflect.Pointer {
		f = f.Elem()
	}
	if d, ok := f.Interface().(config.Duration); ok {
		return time.Duration(d).String()
	}
	switch f.Kind() {
	case reflect.Slice:
		var parts []string
		for i := range f.Len() {
			parts = append(parts, fmt.Sprint(f.Index(i)))
		}
		return strings.Join(parts, ", ")
	case reflect.Map:
		return ""
	}
	return fmt.Sprint(f)
}

// | `key` | `default` | meaning |
var settingRow = regexp.MustCompile("(?m)^\\| `([a-z0-9_.]+)` \\| ([^|]*) \\| ([^|]+) \\|$")

func TestEverySettingIsDocumentedWithItsDefault(t *testing.T) {
	c, err := config.Parse([]byte("host: HV01\n"))
	if err != nil {
		t.Fatal(err)
	}
	doc := map[string]string{}
	for _, m := range settingRow.FindAllStringSubmatch(load(t).texts["docs/drover.yaml.md"], -1) {
		if _, dup := doc[m[1]]; dup {
			t.Errorf("%s is documented twice", m[1])
		}
		doc[m[1]] = m[2]
	}
	for _, s := range settings("", reflect.ValueOf(*c)) {
		text, ok := doc[s.key]
		delete(doc, s.key)
		switch {
		case !ok:
			t.Errorf("docs/drover.yaml.md does not mention `%s`", s.key)
		case s.value != "" && text != "`"+s.value+"`":
			t.Errorf("`%s`: the default is `%s`, the document says %s", s.key, s.value, text)
		case s.value == "" && strings.Contains(text, "`"):
			t.Errorf("`%s` has no default, the document says %s", s.key, text)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(doc)) {
		t.Errorf("docs/drover.yaml.md has `%s`, which is no setting", key)
	}
}

func TestExampleConfigurationIsValid(t *testing.T) {
	r := load(t)
	c, err := config.Load(filepath.Join(r.root, "dist", "drover.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Roles.Operator) == 0 || len(c.Roles.Administrator) == 0 {
		t.Error("the example shows no host that anybody could use")
	}
}

// The unit must let droverd do what its configuration promises.
func TestUnitFitsTheDefaults(t *testing.T) {
	c, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}
	unit := map[string][]string{}
	for _, line := range strings.Split(load(t).texts["dist/droverd.service"], "\n") {
		if k, v, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			unit[k] = append(unit[k], v)
		}
	}
	one := func(key string) string {
		if len(unit[key]) != 1 {
			t.Fatalf("the unit has %d lines %s=", len(unit[key]), key)
		}
		return unit[key][0]
	}
	stop, err := time.ParseDuration(one("TimeoutStopSec"))
	if err != nil || stop < time.Duration(c.ShutdownTimeout)+10*time.Second {
		t.Errorf("TimeoutStopSec=%s: systemd would kill droverd before shutdown_timeout (%s) is over", one("TimeoutStopSec"), time.Duration(c.ShutdownTimeout))
	}
	if got := one("Type"); got != "notify" {
		t.Errorf("Type=%s: droverd reports when it is ready", got)
	}
	if !strings.Contains(one("ExecStart"), config.DefaultPath) {
		t.Errorf("ExecStart does not name %s", config.DefaultPath)
	}
	writable := strings.Fields(strings.Join(unit["ReadWritePaths"], " "))
	for _, root := range c.Storage.Roots {
		if !slices.ContainsFunc(writable, func(w string) bool {
			return root == w || strings.HasPrefix(root, strings.TrimPrefix(w, "-")+"/") || "-"+root == w
		}) {
			t.Errorf("ReadWritePaths=%v does not hold the storage root %s", writable, root)
		}
	}
	for key, path := range map[string]string{"StateDirectory": c.StateDir, "RuntimeDirectory": c.RunDir} {
		if filepath.Base(path) != one(key) {
			t.Errorf("%s=%s, and the configuration uses %s", key, one(key), path)
		}
	}
}
