package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/fault"
)

func TestNegotiate(t *testing.T) {
	for _, tc := range []struct {
		name           string
		oldest, newest int
		want           int
		ok             bool
	}{
		{"the same", Oldest, Newest, Newest, true},
		{"peer is newer and still speaks ours", Oldest, Newest + 3, Newest, true},
		{"peer dropped ours", Newest + 1, Newest + 3, Newest, false},
		{"peer is older than we support", 0, Oldest - 1, Oldest - 1, false},
		{"peer speaks nothing", 2, 1, 1, false},
		{"nothing was said", 0, 0, 0, false},
		{"negative", -5, -1, -1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, ok := Negotiate(tc.oldest, tc.newest)
			if ok != tc.ok || ok && v != tc.want {
				t.Errorf("Negotiate(%d, %d) = %d, %v; want %d, %v", tc.oldest, tc.newest, v, ok, tc.want, tc.ok)
			}
			if ok && (v < Oldest || v > Newest || v < tc.oldest || v > tc.newest) {
				t.Errorf("agreed on %d, which one side does not speak", v)
			}
		})
	}
}

// messages has one value of every kind with every field set, so that a field
// that gets lost on its way is seen, also one that is added later.
var messages = func() map[Kind]any {
	m := map[Kind]any{
		KindHello: Hello{}, KindHelloReply: HelloReply{}, KindAuth: Auth{}, KindAuthReply: AuthReply{},
		KindOpen: Open{}, KindOpened: Opened{}, KindOffer: Offer{}, KindAdmitted: Admitted{},
		KindPrepare: Prepare{}, KindPrepared: Prepared{}, KindHandover: Handover{},
		KindCancel: Cancel{}, KindQuery: Query{}, KindOutcome: Outcome{}, KindFailure: fault.Problem{},
	}
	for k, empty := range m {
		v := reflect.New(reflect.TypeOf(empty)).Elem()
		fill(v)
		m[k] = meant(v.Interface())
	}
	return m
}()

// meant puts something into a filled message, where not everything passes.
func meant(m any) any {
	switch m := m.(type) {
	case Opened:
		m.Session, m.Secret = bytes.Repeat([]byte{0xff}, 16), bytes.Repeat([]byte{0xff}, 32)
		return m
	case Offer:
		m.Mappings.Networks, m.Mappings.CPU = map[string]string{"br0": "br1"}, "qemu64"
		m.Disks = m.Disks[:1]
		m.Disks[0].VirtualBytes, m.Disks[0].AllocatedBytes = MaxBytes, MaxBytes
		m.Disks[0].Probe.Files = m.Disks[0].Probe.Files[:1]
		return m
	}
	return m
}

// fill sets v and everything in it to something that is not zero.
func fill(v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, 11, 20, 21, 0, 0, 5, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("/<é & \"")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8:
		v.SetUint(0xff)
	case reflect.Uint64:
		v.SetUint(1<<64 - 1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Map:
		key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(val)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, val)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	default:
		panic("a message holds a " + v.Kind().String() + ", which fill does not know")
	}
}

// travel seals m, writes and reads the envelope as JSON, and unseals it.
func travel(t *testing.T, k Kind, m any) any {
	t.Helper()
	env, err := Seal(k, m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	var got Envelope
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	into := reflect.New(reflect.TypeOf(m))
	if err := Unseal(got, k, "HV01", "HV02", into.Interface()); err != nil {
		t.Fatal(err)
	}
	return into.Elem().Interface()
}

func TestEveryMessageArrivesAsItWasSent(t *testing.T) {
	for k, m := range messages {
		t.Run(string(k), func(t *testing.T) {
			if diff := cmp.Diff(m, travel(t, k, m)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFailureBecomesItsError(t *testing.T) {
	env, err := Seal(KindFailure, fault.ToProblem(fault.New(fault.StorageFull, "HV02", "free", "1 GiB", "path", "/srv", "vm", "APP01", "needed", "2 GiB")))
	if err != nil {
		t.Fatal(err)
	}
	var into Prepared
	got := Unseal(env, KindPrepared, "HV01", "HV02", &into)
	if !fault.Is(got, fault.StorageFull) {
		t.Fatalf("got %v, want %s", got, fault.StorageFull)
	}
	var e *fault.Error
	if errors.As(got, &e); e.Host != "HV02" {
		t.Errorf("host = %q: the failure belongs to the host that found it", e.Host)
	}
}

func TestWhatDoesNotFitIsAProtocolError(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  Envelope
		want string
	}{
		{"other kind", Envelope{KindCancel, json.RawMessage(`{}`)}, `"cancel" instead of "prepared"`},
		{"no kind", Envelope{}, `"" instead of "prepared"`},
		{"no body", Envelope{Kind: KindPrepared}, "cannot be read"},
		{"body of another form", Envelope{KindPrepared, json.RawMessage(`{"cookie": 5}`)}, "cannot be read"},
		{"body cut off", Envelope{KindPrepared, json.RawMessage(`{"cookie":`)}, "cannot be read"},
		{"failure that is none", Envelope{KindFailure, json.RawMessage(`[]`)}, "a failure that cannot be read"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var into Prepared
			err := Unseal(tc.env, KindPrepared, "HV01", "HV02", &into)
			if !fault.Is(err, fault.ProtocolError) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "HV02") {
				t.Errorf("got %v, want a protocol-error of HV02 with %q", err, tc.want)
			}
		})
	}
}

func FuzzUnseal(f *testing.F) {
	for k, m := range messages {
		env, err := Seal(k, m)
		if err != nil {
			f.Fatal(err)
		}
		b, err := json.Marshal(env)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, string(k))
	}
	f.Add([]byte(`{"kind":"failure","body":null}`), "opened")
	f.Add([]byte(`{"kind":"failure","body":{"code":"never-heard-of"}}`), "opened")
	f.Fuzz(func(t *testing.T, b []byte, want string) {
		var env Envelope
		if json.Unmarshal(b, &env) != nil {
			return
		}
		sample, ok := messages[Kind(want)]
		if !ok {
			return
		}
		into := reflect.New(reflect.TypeOf(sample))
		if err := Unseal(env, Kind(want), "HV01", "HV02", into.Interface()); err != nil {
			if _, ok := fault.Lookup(fault.From(err).Code); !ok || err.Error() == "" {
				t.Fatalf("the error of a bad message has no usable code: %#v", err)
			}
			return
		}
		if env.Kind != Kind(want) {
			t.Fatalf("a %q was taken for a %q", env.Kind, want)
		}
		got := into.Elem().Interface()
		if diff := cmp.Diff(normal(got), normal(travel(t, Kind(want), got))); diff != "" {
			t.Fatal(diff)
		}
	})
}

// normal is m as JSON: an empty list and none mean the same in a message.
func normal(m any) string {
	b, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
