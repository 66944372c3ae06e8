package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"
)

func TestMessageAndHintAreFilledIn(t *testing.T) {
	e := Wrap(fs.ErrNotExist, AgentUnreachable, "HV02", "address", "10.77.0.12:6601")
	if got, want := e.Message(), "no droverd answers at 10.77.0.12:6601 (HV02)"; got != want {
		t.Errorf("Message() = %q, want %q", got, want)
	}
	if got, want := e.Error(), e.Message()+": "+fs.ErrNotExist.Error(); got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if got := e.Hint(); !strings.Contains(got, "nc -vz HV02 6601") {
		t.Errorf("Hint() = %q, want the host in its command", got)
	}
	if !errors.Is(e, fs.ErrNotExist) {
		t.Error("the cause is not in the chain")
	}
}

// Hints are there to be copied, and names come from the directory.
func TestCommandsOfHintsStayOneCommand(t *testing.T) {
	evil := "x'$(reboot)'$"
	for _, c := range []struct {
		err  *Error
		want string
	}{
		{New(ServiceNameTaken, "", "name", "cifs/HV 01", "owner", "CN=x", "account", evil), `'x'\''$(reboot)'\''$' 'cifs/HV 01'`},
		{New(HostWithoutAES, "", "account", evil, "values", "unset"), "Set-ADComputer 'x''$(reboot)''$' -Kerb"},
		{New(HostWithoutAES, "", "account", "x\u2019;reboot;$", "values", "unset"), "Set-ADComputer 'x\u2019\u2019;reboot;$' -Kerb"},
		{New(HostNameIsAddress, "", "name", "10.0.0.1"), "`getent hosts 10.0.0.1`"},
		{New(DelegationIncomplete, "", "source", "HV;01", "destination", "HV02", "attribute", "a", "account", "b", "values", "c"),
			"plan 'HV;01' HV02 --one-way 'HV;01':HV02 --out"},
		{New(DelegationMissing, "HV01", "command", "samba-tool 'a b'", "account", "a", "operator", "o", "service", "s", "attribute", "x", "values", "v"), "`samba-tool 'a b'`"},
	} {
		if got := c.err.Hint(); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q lacks %q", c.err.Code, got, c.want)
		}
	}
}

func TestArgumentsAreNotTemplates(t *testing.T) {
	e := New(VMNotFound, "HV01", "vm", "{host}{vm}")
	if got, want := e.Message(), "HV01 has no VM {host}{vm}"; got != want {
		t.Errorf("Message() = %q, want %q: what an argument holds must not be filled in again", got, want)
	}
}

func TestHostThatIsNotKnownIsSaidSo(t *testing.T) {
	if got := New(HypervisorDown, "", "socket", "/s").Message(); !strings.Contains(got, "(unknown host)") {
		t.Errorf("Message() = %q", got)
	}
}

func TestWrongCallsPanic(t *testing.T) {
	for name, call := range map[string]func(){
		"unknown code": func() { _ = New("no-such-code", "") },
		"odd number":   func() { _ = New(VMNotFound, "HV01", strings.Fields("vm")...) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic: the mistake would reach an operator")
				}
			}()
			call()
		})
	}
}

func TestFromGivesEveryErrorACode(t *testing.T) {
	cancelled, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("operator pressed Ctrl-C"))
	known := New(VMNotFound, "HV01", "vm", "APP01")
	for _, tc := range []struct {
		name string
		err  error
		want Code
	}{
		{"its own", known, VMNotFound},
		{"wrapped", fmt.Errorf("look up: %w", known), VMNotFound},
		{"joined", errors.Join(errors.New("close failed"), known), VMNotFound},
		{"cancelled", fmt.Errorf("dial: %w", context.Canceled), Cancelled},
		{"cancelled with a cause", cancelled.Err(), Cancelled},
		{"deadline", fmt.Errorf("dial: %w", context.DeadlineExceeded), Deadline},
		{"a code outside wins over the context inside", Wrap(context.Canceled, PeerGone, "HV01", "peer", "HV02"), PeerGone},
		{"anything else", errors.New("boom"), Internal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := From(tc.err)
			if got.Code != tc.want {
				t.Errorf("code = %s, want %s", got.Code, tc.want)
			}
			if !errors.Is(got, tc.err) && !errors.Is(tc.err, got) {
				t.Error("the error that was given is lost")
			}
		})
	}
	if From(nil) != nil {
		t.Error("From(nil) is not nil")
	}
}

func TestCauseOfACancelKeepsItsCode(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(New(ShuttingDown, "HV01"))
	if got := From(context.Cause(ctx)).Code; got != ShuttingDown {
		t.Errorf("code = %s, want %s", got, ShuttingDown)
	}
}

func TestIsLooksAtTheOutermostCode(t *testing.T) {
	err := fmt.Errorf("move: %w", Wrap(New(PeerGone, "HV01", "peer", "HV02"), TransferFailed, "HV01", "vm", "APP01"))
	if !Is(err, TransferFailed) || Is(err, PeerGone) || Is(nil, TransferFailed) {
		t.Error("Is does not report the code that the edge prints")
	}
}

func TestStatusTable(t *testing.T) {
	for _, tc := range []struct {
		err  error
		exit int
		http int
	}{
		{errors.New("boom"), 1, http.StatusInternalServerError},
		{New(Usage, "", "problem", "x"), 2, http.StatusUnprocessableEntity},
		{New(VMNotFound, "HV01", "vm", "x"), 3, http.StatusNotFound},
		{New(RoleMissing, "HV01"), 4, http.StatusForbidden},
		{New(AuthRequired, "HV01"), 4, http.StatusUnauthorized},
		{New(AgentNoKeytab, "HV01"), 4, http.StatusServiceUnavailable},
		{New(StorageFull, "HV02"), 5, http.StatusConflict},
		{New(PeerGone, "HV01"), 6, http.StatusServiceUnavailable},
		{context.DeadlineExceeded, 6, http.StatusServiceUnavailable},
		{context.Canceled, 7, http.StatusConflict},
		{New(OutcomeUnknown, "HV01"), 8, http.StatusServiceUnavailable},
		{fmt.Errorf("wrapped: %w", New(VMNotFound, "HV01", "vm", "x")), 3, http.StatusNotFound},
	} {
		if got := ExitStatus(tc.err); got != tc.exit {
			t.Errorf("ExitStatus(%v) = %d, want %d", tc.err, got, tc.exit)
		}
		if got := HTTPStatus(tc.err); got != tc.http {
			t.Errorf("HTTPStatus(%v) = %d, want %d", tc.err, got, tc.http)
		}
	}
	if ExitStatus(nil) != 0 {
		t.Error("ExitStatus(nil) is not 0")
	}
}

// Exit statuses are an interface: the numbers must not move when a class is added.
func TestClassesHaveNamesAndFixedExitStatuses(t *testing.T) {
	for want, c := range map[int]Class{1: ClassInternal, 2: ClassUsage, 3: ClassNotFound, 4: ClassAuth,
		5: ClassRefused, 6: ClassUnavailable, 7: ClassCancelled, 8: ClassUnknown} {
		if c.ExitStatus() != want {
			t.Errorf("%s: exit status %d, want %d", c, c.ExitStatus(), want)
		}
		if s := c.HTTPStatus(); s < 400 || s > 599 {
			t.Errorf("%s: HTTP status %d is not an error", c, s)
		}
	}
}

func TestErrorSurvivesJSON(t *testing.T) {
	in := Wrap(errors.New("dial tcp: refused"), AgentUnreachable, "HV02", "address", "10.77.0.12:6601")
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out Error
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if out.Code != in.Code || out.Host != in.Host || out.Error() != in.Error() || out.Hint() != in.Hint() {
		t.Errorf("in:  %s (%s)\nout: %s (%s)", in, in.Hint(), &out, out.Hint())
	}
	if ExitStatus(&out) != ExitStatus(in) {
		t.Error("exit status differs on the other side")
	}
	again, err := json.Marshal(&out)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(b) {
		t.Errorf("second hop changed the problem:\n%s\n%s", b, again)
	}
}

func TestProblemHasWhatRFC9457Names(t *testing.T) {
	b, err := json.Marshal(ToProblem(New(VMNotFound, "HV01", "vm", "APP01")))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"type": "urn:drover:error:vm-not-found", "title": "No such VM",
		"status": 404.0, "detail": "HV01 has no VM APP01", "code": "vm-not-found", "host": "HV01"} {
		if got[k] != want {
			t.Errorf("%s = %v, want %v", k, got[k], want)
		}
	}
	if ToProblem(nil) != nil || (*Problem)(nil).Err() != nil {
		t.Error("no error must give no problem, and the reverse")
	}
}

func TestCodeOfANewerPeerIsNotLost(t *testing.T) {
	in := `{"type":"urn:drover:error:flux-inverted","title":"Flux","status":409,"detail":"the flux of HV09 is inverted","code":"flux-inverted","host":"HV09"}`
	var e Error
	if err := json.Unmarshal([]byte(in), &e); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"flux-inverted", "the flux of HV09 is inverted"} {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("Error() = %q, want %q in it", e.Error(), want)
		}
	}
	if e.Hint() == "" || ExitStatus(&e) != ClassInternal.ExitStatus() {
		t.Errorf("hint %q, exit status %d: an unknown code must be treated as internal", e.Hint(), ExitStatus(&e))
	}
}

func FuzzProblem(f *testing.F) {
	f.Add([]byte(`{"code":"vm-not-found","host":"HV01","args":{"vm":"APP01"},"cause":"x"}`))
	f.Add([]byte(`{"code":"flux-inverted","detail":"{host}"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Error
		if json.Unmarshal(b, &e) != nil {
			return
		}
		if _, ok := Lookup(e.Code); !ok {
			t.Fatalf("code %q of a peer is not in the registry", e.Code)
		}
		again, err := json.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		var second Error
		if err := json.Unmarshal(again, &second); err != nil {
			t.Fatal(err)
		}
		if second.Error() != e.Error() {
			t.Fatalf("%q became %q on its way", e.Error(), second.Error())
		}
	})
}
