package labtest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-krb5/krb5/keytab"

	"drover/lab"
)

// secrets are what must be in no log: strings that are known, and the looks of those
// that are not.
type secrets struct {
	mu    sync.Mutex
	known map[string]string // what is searched for -> what it is
	keys  int
}

// passwordPart is in every password of the lab, of users and machines.
const passwordPart = "Passw0rd"

func newSecrets() *secrets { return &secrets{known: map[string]string{passwordPart: "a password"}} }

// add has b searched for as it is, in hexadecimal, in Base64 wherever it stands in
// what was encoded, and as Go prints slices of bytes.
func (s *secrets) add(what string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys++
	list := strings.Trim(fmt.Sprint(b), "[]")
	for _, form := range []string{string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), list, strings.ReplaceAll(list, " ", ",")} {
		s.known[form] = what
	}
	for shift := range 3 {
		// What stands before and behind changes the characters at the edges.
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), b...))
		text = text[(shift*8+5)/6 : len(text)-2]
		s.known[text] = what
		s.known[strings.NewReplacer("+", "-", "/", "_").Replace(text)] = what
	}
}

// looks are those of secrets that nobody has told the test.
var looks = map[string]*regexp.Regexp{
	// DER of an application tag with a length of two bytes, in Base64: GSS tokens (0x60), tickets
	// (0x61), AP-REQ (0x6e), AP-REP (0x6f), KRB-CRED (0x76), and answers of SPNEGO (0xa1).
	"a ticket or token":             regexp.MustCompile(`\b(?:YI[EGIJKLMNOP]|YY[EGIJKLMNOP]|boI|b4[GI]|doI|oY[GHI])[A-Za-z0-9+/_-]{60,}`),
	"a ticket or token in hex":      regexp.MustCompile(`(?i)\b(?:60|61|6e|6f|76|a1)8[12][0-9a-f]{120,}`),
	"bytes of a secret's length":    regexp.MustCompile(`(?:^|[^A-Za-z0-9+/])[A-Za-z0-9+/]{43}=`),
	"long bytes in Base64":          regexp.MustCompile(`[A-Za-z0-9+/]{160,}`),
	"long bytes in hexadecimal":     regexp.MustCompile(`\b[0-9a-fA-F]{64,}\b`),
	"bytes as Go prints them":       regexp.MustCompile(`\[(?:\d{1,3}[ ,]){23,}\d{1,3}\]`),
	"a private key":                 regexp.MustCompile(`PRIVATE KEY`),
	"the header of an HTTP sign-in": regexp.MustCompile(`Negotiate [A-Za-z0-9+/]{20,}`),
}

// search lists where text holds a secret.
func (s *secrets) search(text []byte) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret, what := range s.known { // a key as it is may have the end of a line in it
		if i := bytes.Index(text, []byte(secret)); i >= 0 {
			begin := bytes.LastIndexByte(text[:i], '\n') + 1
			found = append(found, what+": "+strings.TrimSpace(string(text[begin:i+len(secret)])))
		}
	}
	for line := range bytes.Lines(text) {
		for what, look := range looks {
			if look.Match(line) {
				found = append(found, what+": "+strings.TrimSpace(string(line)))
			}
		}
	}
	return found
}

// collect adds the keys that a host has now: of its account, and of its agent.
func (s *secrets) collect(m *lab.Member) {
	if kt, err := keytab.Load(m.Path("/etc/krb5.keytab")); err == nil {
		for _, e := range kt.Entries {
			s.add("a key of "+m.Name+"'s account", e.Key.KeyValue)
		}
	}
	identities, _ := filepath.Glob(m.Path(lab.AgentDir) + "/*.pem")
	for _, path := range identities {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if block, _ := pem.Decode(b); block != nil && block.Type == "PRIVATE KEY" {
			s.add("the key of "+m.Name+"'s agent", block.Bytes)
		}
	}
}

// guardLogs has the logs of a lab searched when its test ends: what every agent
// and every libvirt wrote, at the level debug.
func (s *site) guardLogs(t *testing.T) {
	t.Helper()
	found := newSecrets()
	for _, m := range s.Hosts() {
		found.collect(m)
	}
	if want := 3 * len(s.Hosts()); found.keys < want { // two AES keys and the agent's
		t.Errorf("only %d keys to search for, want %d: the search is blind", found.keys, want)
	}
	t.Cleanup(func() {
		for _, m := range s.Hosts() {
			found.collect(m) // tests give hosts new keys
			for _, path := range s.logsOf(t, m) {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Error(err)
				}
				for _, line := range found.search(b) {
					t.Errorf("%s has %s", path, line)
				}
			}
		}
	})
}

// logsOf are the files with what a host's services wrote.
func (s *site) logsOf(t *testing.T, m *lab.Member) []string {
	t.Helper()
	dir := filepath.Dir(m.LogPath(lab.AgentService))
	logs, err := filepath.Glob(dir + "/*.log")
	if err != nil || !slices.Contains(logs, m.LogPath(lab.AgentService)) {
		t.Errorf("the log of %s's agent is not among %v: %v", m.Name, logs, err)
	}
	return logs
}

// The search itself: it finds each kind in each form, and nothing in what agents do
// write.
func TestSecretsAreFoundInLogs(t *testing.T) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	s := newSecrets()
	s.add("a key", key)
	ticket := append([]byte{0x6e, 0x82, 0x04, 0x10}, bytes.Repeat(key, 8)...)
	token := append([]byte{0x60, 0x82, 0x04, 0x10}, bytes.Repeat(key, 8)...)
	asJSON, err := json.Marshal(struct{ Secret []byte }{append([]byte("12345"), append(key, 'x')...)})
	if err != nil {
		t.Fatal(err)
	}
	other := sha256.Sum256(key)
	for name, line := range map[string]string{
		"password":               "login of operator with " + lab.UserPassword,
		"key":                    "key " + string(key[:]),
		"key in hex":             fmt.Sprintf("key=%x", key),
		"key in capitals":        fmt.Sprintf("key=%X", key),
		"key as Go prints it":    fmt.Sprint("keytab entry ", key),
		"key within JSON":        string(asJSON),
		"key for a URL":          "k=" + base64.RawURLEncoding.EncodeToString(key),
		"secret nobody knows":    "session secret=" + base64.StdEncoding.EncodeToString(other[:]),
		"the same in hex":        fmt.Sprintf("secret=%x", other),
		"the same as Go's bytes": fmt.Sprint(other),
		"AP-REQ":                 "token " + base64.StdEncoding.EncodeToString(ticket),
		"AP-REQ in hex":          fmt.Sprintf("token %x", ticket),
		"GSS token":              "Authorization: Negotiate " + base64.StdEncoding.EncodeToString(token),
		"private key":            "-----BEGIN PRIVATE KEY-----",
	} {
		if len(s.search([]byte("time=x level=DEBUG msg=\"before\"\n"+line+"\n"))) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
	for _, line := range []string{
		`time=2026-11-21T22:00:00Z level=INFO msg="move comes in" move=01KAM3V3T6W1E8QZ0N4D5T7C9R session=0f1e2d3c4b5a69788796a5b4c3d2e1f0 uuid=3b7c1f0e-4d2a-4b7e-9a55-0d6f1e2c3b4a`,
		`level=DEBUG msg="kerberos ticket" step=S4U2Proxy client=operator@LAB.DROVER.TEST service="Microsoft Virtual System Migration Service/HV02"`,
		`file=/srv/vms/a-directory/another/and/one/more/so/that/the/path/is/long/APP01-0.qcow2`,
	} {
		if found := s.search([]byte(line)); len(found) > 0 {
			t.Errorf("taken for a secret: %v", found)
		}
	}
}

// TestSecretsAreNotLogged: what was typed, sent and kept through sign-ins, good and
// bad, and through moves; in logs, in the event log, and in what drover prints.
func TestSecretsAreNotLogged(t *testing.T) {
	s := startSite(t, lab.Options{Name: "gatesecret", Hosts: twoHosts})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	found := newSecrets()
	for _, m := range s.Hosts() {
		found.collect(m)
	}
	said := func(r lab.Result) {
		for _, line := range found.search([]byte(r.Stdout + r.Stderr)) {
			t.Errorf("drover printed %s", line)
		}
	}
	for _, password := range []string{"wrong-" + lab.UserPassword, lab.UserPassword} {
		cmd := s.DroverCommand(t.Context(), "login", "login", principal, "--password-stdin", "-o", "json")
		cmd.Stdin = strings.NewReader(password + "\n")
		out, _ := cmd.CombinedOutput() // the first is refused
		said(lab.Result{Stdout: string(out)})
	}
	s.mustMove(t, vm, lab.HV01, lab.HV02)
	_, r := s.move(t, vm, lab.HV02, lab.HV01, "--connections", "2")
	said(r)
	s.signIn(t, lab.UserNobody)
	said(s.as(t, lab.UserNobody, app()...))
	for _, args := range [][]string{{"ticket", "list"}, {"events"}, {"host", "show"}, {"move", "list"}, {"vm", "show", vm.Name}} {
		said(s.drover(t, append(args, "--host", lab.HV01, "-o", "json")...))
	}
	s.mustFindPlanted(t, found)
}

// mustFindPlanted shows that the search of real logs can fail: a key in the middle of
// one is found, and nothing else is.
func (s *site) mustFindPlanted(t *testing.T, found *secrets) {
	t.Helper()
	m := s.Member(lab.HV01)
	kt, err := keytab.Load(m.Path("/etc/krb5.keytab"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(m.LogPath(lab.AgentService))
	if err != nil || len(b) == 0 {
		t.Fatalf("no log: %v", err)
	}
	if lines := found.search(b); len(lines) > 0 {
		t.Errorf("%s", strings.Join(lines, "\n"))
	}
	planted := fmt.Appendf(b, "time=x level=DEBUG msg=planted key=%s\n", base64.StdEncoding.EncodeToString(append([]byte("before"), kt.Entries[0].Key.KeyValue...)))
	if lines := found.search(planted); len(lines) != 1 || !strings.Contains(lines[0], "planted") {
		t.Errorf("a key was planted, found: %v", lines)
	}
}
