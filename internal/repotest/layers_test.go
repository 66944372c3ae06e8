package repotest

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers is the table of docs/DESIGN.md. A package below one of these (such as
// internal/virt/admit) belongs to its parent's layer.
var layers = map[string]int{
	"internal/fault": 0, "internal/wire": 0, "internal/record": 0, "internal/config": 0, "internal/version": 0,
	"internal/spn": 0, "internal/finding": 0, "internal/settings": 0, "internal/eventlog": 0, "internal/cmdlet": 0,
	"internal/fold": 0, "internal/ramstream": 0, "internal/nbd": 0, "internal/tune": 0,
	"internal/gate":    0,
	"internal/symptom": 0,
	"internal/virt":    1, "internal/krb": 1, "internal/directory": 1, "internal/look": 1,
	"internal/stream": 1, "internal/store": 1, "internal/storage": 1, "internal/seed": 1,
	"internal/plan": 2, "internal/predict": 2, "internal/move": 2, "internal/doctor": 2, "internal/delegation": 2, "internal/audit": 2, "internal/enroll": 2,
	"internal/api": 3, "internal/agent": 3, "internal/cli": 3,
}

const programs = 4 // the layer of cmd/...

// beside are packages that test or demonstrate the product and are no part of
// it: no package of a layer may import them, except from its tests.
var beside = map[string][]string{
	"internal/guest":    {"lab", "cmd/drover-guest", "cmd/drover-lab"},
	"internal/repotest": {},
	"lab":               {"cmd/drover-lab", "cmd/drover-guest"},
}

// owners lists the libraries that exactly one package of the product may import,
// and why.
var owners = []struct{ library, owner, reason string }{
	{"github.com/digitalocean/go-libvirt", "internal/virt", "its calls take no context and must be abandoned with their connection, which only virt knows how to do"},
	{"libvirt.org/go/libvirtxml", "internal/virt", "what is admitted from another host's XML is decided in one place"},
	{"github.com/go-krb5", "internal/krb", "the acceptor of the Kerberos library has known holes, each closed once, in krb"},
	{"github.com/jcmturner", "internal/krb", "the acceptor of the Kerberos library has known holes, each closed once, in krb"},
	{"github.com/go-ldap/ldap", "internal/directory", "attribute names, controls and Samba's escaped twins are known in one place"},
	{"github.com/miekg/dns", "internal/look", "what no answer means, and that a truncated one is asked for again, is decided in one place"},
	{"modernc.org/sqlite", "internal/store", "durability (fsync, transactions) is promised by one package"},
}

// graph is imports by package directory, in this module's terms: own packages
// as "internal/move", others by their import path.
type graph struct {
	product map[string][]string // imports of files that are linked into programs
	tests   map[string][]string // imports of _test.go files
}

func importGraph(r *repository) graph {
	g := graph{map[string][]string{}, map[string][]string{}}
	for _, f := range r.files {
		into := g.product
		if f.test {
			into = g.tests
		} else if into[f.dir] == nil {
			into[f.dir] = []string{}
		}
		for _, i := range f.imports {
			if own, ok := strings.CutPrefix(i, module+"/"); ok {
				i = own
			}
			into[f.dir] = append(into[f.dir], i)
		}
	}
	return g
}

func below(pkg, parent string) bool { return pkg == parent || strings.HasPrefix(pkg, parent+"/") }

// family is the entry of the layers table to which pkg belongs.
func family(pkg string) (name string, layer int, ok bool) {
	if below(pkg, "cmd") {
		return pkg, programs, true
	}
	for name, layer := range layers {
		if below(pkg, name) {
			return name, layer, true
		}
	}
	return "", 0, false
}

func isBeside(pkg string) (string, bool) {
	for b := range beside {
		if below(pkg, b) {
			return b, true
		}
	}
	return "", false
}

// violations checks every rule and gives one line per breach, with its reason.
func violations(g graph) []string {
	var out []string
	for _, rule := range []func(graph) []string{placed, downward, besideOnly, owned, pure, clientLinks, names} {
		out = append(out, rule(g)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func placed(g graph) (out []string) {
	for pkg := range g.product {
		_, _, layered := family(pkg)
		if _, b := isBeside(pkg); !layered && !b {
			out = append(out, fmt.Sprintf("%s: has no layer; because: a package without a place ends up importing everything; add it to docs/DESIGN.md and to layers_test.go", pkg))
		}
	}
	return out
}

func downward(g graph) (out []string) {
	for pkg, imports := range g.product {
		from, low, ok := family(pkg)
		if !ok {
			continue
		}
		for _, i := range imports {
			to, high, ok := family(i)
			switch {
			case !ok || from == to:
			case high > low:
				out = append(out, fmt.Sprintf("%s (layer %d) imports %s (layer %d); because: imports go down only, so that a layer can be understood and tested without what stands on it", pkg, low, i, high))
			case high == 1 && low == 1:
				out = append(out, fmt.Sprintf("%s imports %s, both of layer 1; because: each of them adapts one outside thing, and what combines two belongs into layer 2", pkg, i))
			case high == programs:
				out = append(out, fmt.Sprintf("%s imports the program %s; because: programs are imported by nobody", pkg, i))
			}
		}
	}
	return out
}

func besideOnly(g graph) (out []string) {
	for pkg, imports := range g.product {
		for _, i := range imports {
			b, ok := isBeside(i)
			if !ok || below(pkg, b) || slices.ContainsFunc(beside[b], func(may string) bool { return below(pkg, may) }) {
				continue
			}
			out = append(out, fmt.Sprintf("%s imports %s; because: the laboratory and its guest test the product and are no part of it", pkg, i))
		}
	}
	return out
}

func owned(g graph) (out []string) {
	for _, imports := range []map[string][]string{g.product, g.tests} {
		for pkg, list := range imports {
			if _, b := isBeside(pkg); b {
				continue // the lab talks to the real thing by its own means
			}
			for _, i := range list {
				for _, o := range owners {
					if below(i, o.library) && !below(pkg, o.owner) {
						out = append(out, fmt.Sprintf("%s imports %s, which only %s may; because: %s", pkg, i, o.owner, o.reason))
					}
				}
			}
		}
	}
	return out
}

// pure: these are the doors to the outside in the standard library.
func pure(g graph) (out []string) {
	doors := []string{"os", "net", "net/http", "os/exec", "database/sql", "syscall", "io/ioutil", "log/slog", "golang.org/x/sys/unix"}
	for pkg, imports := range g.product {
		if !below(pkg, "internal/plan") {
			continue
		}
		for _, i := range imports {
			if slices.Contains(doors, i) {
				out = append(out, fmt.Sprintf("%s imports %s; because: plan does no I/O, so that a plan can be tested as a table and a dry run cannot change anything", pkg, i))
			}
		}
	}
	return out
}

// clientLinks: what the command line must not contain, also through others.
func clientLinks(g graph) (out []string) {
	heavy := []string{"internal/agent", "internal/store", "internal/virt", "internal/stream", "internal/storage"}
	for _, start := range []string{"cmd/drover", "internal/cli"} {
		via := map[string]string{start: ""}
		for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
			for _, i := range g.product[queue[0]] {
				if _, seen := via[i]; seen {
					continue
				}
				via[i] = queue[0]
				if slices.ContainsFunc(heavy, func(h string) bool { return below(i, h) }) {
					out = append(out, fmt.Sprintf("%s links %s (%s); because: the command line runs on workstations, needs neither libvirt nor a journal, and must not be able to act as an agent", start, i, chain(via, i)))
				}
				queue = append(queue, i)
			}
		}
	}
	return out
}

func chain(via map[string]string, pkg string) string {
	s := pkg
	for p := via[pkg]; p != ""; p = via[p] {
		s = p + " -> " + s
	}
	return s
}

func names(g graph) (out []string) {
	for pkg := range g.product {
		switch path.Base(pkg) {
		case "util", "utils", "common", "helper", "helpers", "types", "misc", "shared":
			out = append(out, fmt.Sprintf("%s: because: a name that says nothing collects everything; name the job instead", pkg))
		}
	}
	return out
}

func TestImportsFollowTheLayers(t *testing.T) {
	for _, v := range violations(importGraph(load(t))) {
		t.Error(v)
	}
}

// The checker itself, on graphs that break one rule each.
func TestLayerCheckerFindsEachBreach(t *testing.T) {
	for _, tc := range []struct {
		name         string
		pkg, imports string
		test         bool
		want         string // "" means: allowed
	}{
		{"down is fine", "internal/move", "internal/wire", false, ""},
		{"same layer is fine above and below layer 1", "internal/move", "internal/plan", false, ""},
		{"up", "internal/wire", "internal/plan", false, "imports go down only"},
		{"up by one", "internal/doctor", "internal/api", false, "imports go down only"},
		{"a program", "internal/agent", "cmd/droverd", false, "imports go down only"},
		{"a program imports a program", "cmd/drover", "cmd/droverd", false, "imported by nobody"},
		{"layer 1 sideways", "internal/stream", "internal/virt", false, "both of layer 1"},
		{"layer 1 sideways below", "internal/virt/admit", "internal/storage", false, "both of layer 1"},
		{"parent and child", "internal/virt", "internal/virt/admit", false, ""},
		{"a name that begins alike is not a child", "internal/stream", "internal/virtual", false, ""},
		{"tests may look sideways", "internal/stream", "internal/virt", true, ""},
		{"guest in the product", "internal/agent", "internal/guest", false, "no part of it"},
		{"guest in the lab", "lab", "internal/guest", false, ""},
		{"lab in a test", "internal/agent", "lab", true, ""},
		{"lab in the product", "cmd/droverd", "lab", false, "no part of it"},
		{"libvirt elsewhere", "internal/agent", "github.com/digitalocean/go-libvirt", false, "only internal/virt may"},
		{"libvirt in its place", "internal/virt", "github.com/digitalocean/go-libvirt/socket/dialers", false, ""},
		{"kerberos elsewhere, in a test", "internal/directory", "github.com/go-krb5/krb5/client", true, "only internal/krb may"},
		{"ldap elsewhere", "internal/cli", "github.com/go-ldap/ldap/v3", false, "only internal/directory may"},
		{"sqlite elsewhere", "internal/move", "modernc.org/sqlite", false, "only internal/store may"},
		{"libvirt's XML in the lab's guest", "internal/guest", "libvirt.org/go/libvirtxml", false, ""},
		{"plan with I/O", "internal/plan", "os", false, "plan does no I/O"},
		{"plan with addresses", "internal/plan", "net/netip", false, ""},
		{"no layer", "internal/extra", "fmt", false, "has no layer"},
		{"name that says nothing", "internal/virt/util", "fmt", false, "says nothing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := graph{map[string][]string{tc.pkg: {}}, map[string][]string{}}
			if tc.test {
				g.tests[tc.pkg] = []string{tc.imports}
			} else {
				g.product[tc.pkg] = []string{tc.imports}
			}
			got := strings.Join(violations(g), "\n")
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("%s imports %s: got %q, want %q", tc.pkg, tc.imports, got, tc.want)
			}
		})
	}
}

func TestLayerCheckerFollowsImportsOfImports(t *testing.T) {
	g := graph{product: map[string][]string{
		"cmd/drover":    {"internal/cli"},
		"internal/cli":  {"internal/api"},
		"internal/api":  {"internal/move"},
		"internal/move": {"internal/store"},
	}}
	got := strings.Join(violations(g), "\n")
	if want := "cmd/drover -> internal/cli -> internal/api -> internal/move -> internal/store"; !strings.Contains(got, want) {
		t.Errorf("got %q, want the chain %q", got, want)
	}
}

var layerRow = regexp.MustCompile("(?m)^\\| (\\d) \\| `([a-z]+)` \\|")

func TestDesignListsTheLayersOfTheCode(t *testing.T) {
	doc := map[string]int{}
	for _, m := range layerRow.FindAllStringSubmatch(load(t).texts["docs/DESIGN.md"], -1) {
		doc["internal/"+m[2]], _ = strconv.Atoi(m[1])
	}
	if !maps.Equal(doc, layers) {
		t.Errorf("docs/DESIGN.md has %v\nlayers_test.go has %v", doc, layers)
	}
}
