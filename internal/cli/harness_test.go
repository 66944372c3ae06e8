package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"drover/internal/api"
	"drover/internal/doctor"
	"drover/internal/fault"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"drover": func() {
		os.Exit(testProgram().run(context.Background(), os.Args[1:]))
	}})
}

// testProgram is drover, with the sign-in of fakeSignIn if a principal is set. A host
// is then where the variable of its name says, hv02 for HV02, and the local agent at
// TEST_SOCKET, so that scripts can have command lines as documents have them.
func testProgram() *program {
	p := newProgram(os.Stdin, os.Stdout, os.Stderr)
	p.tryPort = fakePort
	p.examine = func(ctx context.Context, f directoryFlags, q doctor.Question) (doctor.Report, error) {
		return fakeExamination(ctx, p, q)
	}
	if who := os.Getenv("TEST_PRINCIPAL"); who != "" {
		p.connect = func(_ context.Context, t target, retrying func(error, time.Duration)) (agent, error) {
			address := cmp.Or(os.Getenv(strings.ToLower(t.host)), t.host)
			if t.host == "" {
				address = "unix:" + cmp.Or(os.Getenv("TEST_SOCKET"), t.socket)
			}
			return api.NewClient(api.ClientOptions{Address: address, Initiator: meeting{fakeSignIn{who}, t.host}, Retrying: retrying})
		}
	}
	return p
}

// fakeExamination finds what the file of the variable TEST_REPORT holds, and what the
// agents of the question's directions say of its VM.
func fakeExamination(ctx context.Context, p *program, q doctor.Question) (r doctor.Report, err error) {
	if path := os.Getenv("TEST_REPORT"); path != "" {
		var raw []byte
		if raw, err = os.ReadFile(path); err == nil {
			err = json.Unmarshal(raw, &r)
		}
	}
	if q.VM == "" && q.Origin == nil {
		return r, err
	}
	r.Hosts, r.Pairs, r.Operator, r.Origin, r.Time = q.Hosts, q.Pairs, q.Operator, q.Origin, start
	if q.VM != "" {
		r.VM = &doctor.VM{Name: q.VM}
	}
	for _, d := range q.Pairs {
		m := machines{p, false}
		if has, err := m.Has(ctx, d.Source, q.VM); err != nil || !has {
			return r, err
		}
		move, err := m.Compare(ctx, q.VM, d.Source, d.Destination)
		if err != nil {
			return r, err
		}
		move.Source, move.Destination = d.Source, d.Destination
		r.VM.Hosts, r.VM.Moves = append(r.VM.Hosts, d.Source), append(r.VM.Moves, move)
	}
	return r, err
}

// fakePort is a network on which migration addresses ending in 1 answer, and those
// ending in 2 refuse.
func fakePort(_ context.Context, to netip.AddrPort) (string, error) {
	switch to.Addr().String() {
	case "192.168.10.1":
		return "192.168.10.9", nil
	case "192.168.10.2":
		return "", syscall.ECONNREFUSED
	}
	return "", os.ErrDeadlineExceeded
}

// fakeSignIn is both halves of a sign-in in which the client just says who it
// is, and which is bound to the TLS session all the same.
type fakeSignIn struct{ principal string }

func (f fakeSignIn) Initiate(_ context.Context, _ string, binding []byte) ([]byte, func(reply, proof []byte) error, error) {
	return append([]byte(f.principal+"|"), binding...), func(_, proof []byte) error {
		if !bytes.Equal(proof, binding) {
			return errors.New("other binding")
		}
		return nil
	}, nil
}

func (fakeSignIn) Accept(token, binding []byte) (reply, proof []byte, c api.Caller, err error) {
	who, bound, _ := strings.Cut(string(token), "|")
	if bound != string(binding) {
		return nil, nil, c, fault.New(fault.BindingMismatch, "HV01")
	}
	switch who {
	case "expired":
		return nil, nil, c, fault.New(fault.AuthRefused, "HV01", "reason", "the ticket is over")
	case "viewer":
		return []byte("ok"), binding, api.Caller{Principal: "viewer@LAB.DROVER.TEST", Roles: []api.Role{api.Viewer}}, nil
	}
	return []byte("ok"), binding, api.Caller{Principal: who, Roles: []api.Role{api.Administrator}, SignIn: "own-credentials"}, nil
}

// serving is one run of an API server before a fake agent.
type serving struct {
	agent  *fakeAgent
	opts   api.Options
	cancel context.CancelFunc
	wg     sync.WaitGroup
	addr   string
}

func serve(host, socket, scenario string, overTLS bool) (*serving, error) {
	f := newFakeAgent(host, scenario)
	s := &serving{agent: f, opts: api.Options{
		Host: host, Version: "0.1.0", Backend: f, Acceptor: fakeSignIn{}, Socket: socket, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		LocalMapper: func(uint32, uint32, int32) (api.Caller, error) {
			return api.Caller{Principal: fakeOperator, Roles: []api.Role{api.Administrator}, LocalUser: "root"}, nil
		},
	}}
	if overTLS {
		cert, err := selfSigned()
		if err != nil {
			return nil, err
		}
		s.opts.TLS, s.opts.Listen = &tls.Config{Certificates: []tls.Certificate{cert}}, []string{"127.0.0.1:0"}
	}
	return s, s.start()
}

// start makes the agent answer; after stop it is as after a restart.
func (s *serving) start() error {
	srv, err := api.NewServer(s.opts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	failed := make(chan error, 1)
	s.wg.Go(func() { failed <- srv.Run(ctx) })
	select {
	case <-srv.Ready():
	case err := <-failed:
		return err
	}
	if a := srv.Addrs(); len(a) > 0 {
		_, port, err := net.SplitHostPort(a[0].String())
		if err != nil {
			return err
		}
		s.addr = "localhost:" + port
	}
	return nil
}

func (s *serving) stop() {
	s.cancel()
	s.wg.Wait()
}

func (s *serving) close() {
	s.agent.close()
	s.stop()
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

type agentsKey struct{}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			agents := map[string]*serving{}
			env.Values[agentsKey{}] = agents
			env.Defer(func() {
				for _, s := range agents {
					s.close()
				}
			})
			env.Setenv("TZ", "UTC")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each drover takes a second to end
			env.Setenv("KRB5CCNAME", "FILE:"+filepath.Join(env.WorkDir, "no-ticket-here"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"agent": cmdAgent, "await": cmdAwait, "release": cmdRelease, "stop-agent": cmdStop, "start-agent": cmdStart, "status": cmdStatus,
		},
	})
}

// agent NAME [FILE] [tls]: an agent that plays the scenario in FILE answers at
// the socket NAME.sock, and with tls at $NAME, too.
func cmdAgent(ts *testscript.TestScript, _ bool, args []string) {
	name, scenario, overTLS := args[0], "", false
	for _, a := range args[1:] {
		if a == "tls" {
			overTLS = true
			continue
		}
		scenario = ts.ReadFile(a)
	}
	s, err := serve(strings.ToUpper(name), ts.MkAbs(name+".sock"), scenario, overTLS)
	ts.Check(err)
	ts.Value(agentsKey{}).(map[string]*serving)[name] = s
	ts.Setenv(name, s.addr)
}

func agentOf(ts *testscript.TestScript, name string) *serving {
	s, ok := ts.Value(agentsKey{}).(map[string]*serving)[name]
	if !ok {
		ts.Fatalf("no agent %s", name)
	}
	return s
}

// await NAME WORD: watched (everything there is was sent to a watcher), cancelled.
func cmdAwait(ts *testscript.TestScript, _ bool, args []string) {
	f := agentOf(ts, args[0]).agent
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if !f.until(ctx, func() bool { return f.done[args[1]] }) {
		ts.Fatalf("%s was not %s in time", args[0], args[1])
	}
}

// release NAME WORD: what a `wait WORD` of the scenario waits for.
func cmdRelease(ts *testscript.TestScript, _ bool, args []string) {
	agentOf(ts, args[0]).agent.let(args[1])
}

// status N COMMAND: the command ends with exit status N.
func cmdStatus(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func cmdStop(ts *testscript.TestScript, _ bool, args []string) { agentOf(ts, args[0]).stop() }
func cmdStart(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(agentOf(ts, args[0]).start())
}
