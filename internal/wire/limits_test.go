package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"drover/internal/fault"
)

// What an authenticated peer may not say, one attack to a line. Each is a
// protocol-error that names what is wrong without repeating all of it.
func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	long, lines := strings.Repeat("x", 10000), "a\nb"
	disks := func(change func(*Disk)) Offer {
		d := Disk{Target: "vda", Device: "disk", Path: "/vms/a", Format: "raw", VirtualBytes: 1, AllocatedBytes: 1}
		change(&d)
		return Offer{Kind: Live, Disks: []Disk{d}}
	}
	opened := func(change func(*Opened)) Opened {
		o := Opened{Session: make([]byte, 16), Secret: make([]byte, 32)}
		change(&o)
		return o
	}
	many := Offer{Kind: Live}
	answers := Admitted{}
	for i := range MaxDisks + 1 {
		many.Disks = append(many.Disks, Disk{Target: "vd" + strings.Repeat("a", i)})
		answers.Disks = append(answers.Disks, AdmittedDisk{Target: "x"})
	}
	for name, c := range map[string]struct {
		kind Kind
		body any
		into any
	}{
		// a source
		"a name for the host of 10 KB":        {KindHello, Hello{Host: long}, new(Hello)},
		"a name for the host of two lines":    {KindHello, Hello{Host: lines}, new(Hello)},
		"a name for the host that is none":    {KindHello, Hello{Host: "HV01\x1b[31m"}, new(Hello)},
		"a definition of 2 MiB":               {KindOffer, Offer{XML: strings.Repeat(" ", 2<<20)}, new(Offer)},
		"variables of 3 MiB":                  {KindOffer, Offer{NVRAM: make([]byte, 3<<20)}, new(Offer)},
		"more disks than a VM has":            {KindOffer, many, new(Offer)},
		"a disk twice":                        {KindOffer, Offer{Disks: []Disk{{Target: "vda"}, {Target: "vda"}}}, new(Offer)},
		"a disk without a name":               {KindOffer, Offer{Disks: []Disk{{}}}, new(Offer)},
		"a disk of 16 EiB":                    {KindOffer, disks(func(d *Disk) { d.VirtualBytes = 1<<64 - 1 }), new(Offer)},
		"a disk that takes 16 EiB":            {KindOffer, disks(func(d *Disk) { d.AllocatedBytes = 1<<64 - 1 }), new(Offer)},
		"a relative path":                     {KindOffer, disks(func(d *Disk) { d.Path = "vms/a" }), new(Offer)},
		"a path of two lines":                 {KindOffer, disks(func(d *Disk) { d.Path = "/vms/a\nb" }), new(Offer)},
		"a path that turns the text round":    {KindOffer, disks(func(d *Disk) { d.Path = "/vms/\u202ea" }), new(Offer)},
		"a path of 10 KB":                     {KindOffer, disks(func(d *Disk) { d.Path = "/" + long }), new(Offer)},
		"a format of 10 KB":                   {KindOffer, disks(func(d *Disk) { d.Format = long }), new(Offer)},
		"a probe of many files":               {KindOffer, disks(func(d *Disk) { d.Probe = &Probe{Files: make([]FileID, 2)} }), new(Offer)},
		"a directory that is none":            {KindOffer, Offer{StoragePath: "vms"}, new(Offer)},
		"a cookie of 2 MiB for Prepare":       {KindPrepare, Prepare{Cookie: make([]byte, 2<<20)}, new(Prepare)},
		"a definition of 2 MiB for Prepare":   {KindPrepare, Prepare{XML: strings.Repeat(" ", 2<<20)}, new(Prepare)},
		"a cookie of 2 MiB for Handover":      {KindHandover, Handover{Cookie: make([]byte, 2<<20)}, new(Handover)},
		"a query of two lines":                {KindQuery, Query{Move: lines}, new(Query)},
		"a reason of 10 KB":                   {KindCancel, Cancel{Reason: long}, new(Cancel)},
		"a negative number where none can be": {KindOffer, json.RawMessage(`{"disks":[{"target":"vda","virtual_bytes":-1}]}`), new(Offer)},
		"a number that overflows":             {KindOffer, json.RawMessage(`{"disks":[{"target":"vda","virtual_bytes":18446744073709551616}]}`), new(Offer)},
		"connections that overflow":           {KindOffer, json.RawMessage(`{"connections":9223372036854775808}`), new(Offer)},
		// a destination
		"a session of 15 bytes":                {KindOpened, opened(func(o *Opened) { o.Session = o.Session[:15] }), new(Opened)},
		"a secret that is none":                {KindOpened, opened(func(o *Opened) { o.Secret = nil }), new(Opened)},
		"a version of QEMU of 10 KB":           {KindOpened, opened(func(o *Opened) { o.Facts.QEMUVersion = long }), new(Opened)},
		"a host's name of two lines":           {KindOpened, opened(func(o *Opened) { o.Facts.Host = lines }), new(Opened)},
		"a list of codecs without end":         {KindOpened, opened(func(o *Opened) { o.Facts.Codecs = make([]string, 1000) }), new(Opened)},
		"less than no CPUs":                    {KindOpened, opened(func(o *Opened) { o.Facts.CPUs = -1 }), new(Opened)},
		"answers for more disks":               {KindAdmitted, answers, new(Admitted)},
		"a place of two lines":                 {KindAdmitted, Admitted{Disks: []AdmittedDisk{{Target: "vda", Path: "/a\nb"}}}, new(Admitted)},
		"a relative place":                     {KindAdmitted, Admitted{Disks: []AdmittedDisk{{Target: "vda", Path: "a"}}}, new(Admitted)},
		"an action of 10 KB":                   {KindAdmitted, Admitted{Disks: []AdmittedDisk{{Target: "vda", Action: DiskAction(long)}}}, new(Admitted)},
		"left out without end":                 {KindAdmitted, Admitted{LeftOut: make([]string, 1000)}, new(Admitted)},
		"left out in two lines":                {KindAdmitted, Admitted{LeftOut: []string{lines}}, new(Admitted)},
		"problems without end":                 {KindAdmitted, Admitted{Problems: make([]fault.Problem, 1000)}, new(Admitted)},
		"a cookie of 2 MiB for the source":     {KindPrepared, Prepared{Cookie: make([]byte, 2<<20)}, new(Prepared)},
		"seeds without end":                    {KindSeedList, SeedList{Total: MaxSeeds + 1}, new(SeedList)},
		"seeds of less than none":              {KindSeedList, SeedList{Total: -1}, new(SeedList)},
		"half a hash of a seed":                {KindSeedList, SeedList{Total: 2, Sums: make([]byte, 24)}, new(SeedList)},
		"more hashes than seeds":               {KindSeedList, SeedList{Total: 1, Sums: make([]byte, 32)}, new(SeedList)},
		"more hashes than an answer has":       {KindSeedList, SeedList{Total: MaxSeeds, Sums: make([]byte, (SeedSums+1)*SeedSum)}, new(SeedList)},
		"a question about seeds before all":    {KindSeeds, Seeds{From: -1}, new(Seeds)},
		"a cookie of 2 MiB at the end":         {KindOutcome, Outcome{Cookie: make([]byte, 2<<20)}, new(Outcome)},
		"an operator of two lines":             {KindAuthReply, AuthReply{Operator: lines}, new(AuthReply)},
		"a way of signing in of 10 KB":         {KindAuthReply, AuthReply{SignIn: long}, new(AuthReply)},
		"JSON that is deeper than any message": {KindOutcome, json.RawMessage(strings.Repeat(`{"problem":`, 20000) + "0" + strings.Repeat("}", 20000)), new(Outcome)},
	} {
		t.Run(name, func(t *testing.T) {
			env := Envelope{Kind: c.kind}
			if raw, ok := c.body.(json.RawMessage); ok {
				env.Body = raw // Marshal would look at it
			} else {
				var err error
				if env, err = Seal(c.kind, c.body); err != nil {
					t.Fatal(err)
				}
			}
			err := Unseal(env, c.kind, "HV02", "HV01", c.into)
			if !fault.Is(err, fault.ProtocolError) {
				t.Fatalf("got %v, want a protocol-error", err)
			}
			if text := err.Error(); len(text) > 2000 || strings.ContainsAny(text, "\n\x1b") {
				t.Errorf("an error of %d bytes: %.300q", len(text), text)
			}
		})
	}
}

func TestFailureOfAnotherHostIsMadeFitToBeShown(t *testing.T) {
	args := map[string]string{"vm": "APP01\x1b[31m\nmove 01 done"}
	for i := range 1000 {
		args[strings.Repeat("k", i)] = strings.Repeat("v", 10000)
	}
	for name, p := range map[string]fault.Problem{
		"known code":   {Code: fault.StorageFull, Host: "HV02\r\n", Args: args, Cause: strings.Repeat("why\n", 1<<16)},
		"unknown code": {Code: fault.Code(strings.Repeat("c\n", 1<<16)), Detail: strings.Repeat("\u202e", 1<<16)},
		"no arguments": {Code: fault.StorageFull},
	} {
		t.Run(name, func(t *testing.T) {
			env, err := Seal(KindFailure, p)
			if err != nil {
				t.Fatal(err)
			}
			err = Unseal(env, KindOpened, "HV01", "HV02", new(Opened))
			f := fault.From(err)
			if text := err.Error() + f.Host + f.Hint(); len(text) > 32<<10 || strings.ContainsAny(text, "\n\r\x1b\u202e") {
				t.Errorf("an error of %d bytes: %.300q", len(text), text)
			}
			if len(f.Args) > 40 {
				t.Errorf("%d arguments", len(f.Args))
			}
			if f.Code != fault.Internal {
				f.Args["disk"] = "vda" // as callers do
			}
		})
	}
}

func TestNamesOfVMs(t *testing.T) {
	for _, good := range []string{"APP01", "app 01", "Büro", "データ", "a.b-c_d+e@f", strings.Repeat("x", 128)} {
		if !ValidName(good) {
			t.Errorf("%q was refused", good)
		}
	}
	for _, bad := range []string{"", ".", "..", ".x", "-x", "a/b", `a\b`, "../x", "a\nb", "a\tb", "a\x00b", "a\x1bb", "a\x7fb", "a\u009bb", "a\u202eb", "a\u2066b", "a\u200bb",
		"a\u2028b", "a\u00a0b", "\ufeffa", "a\xffb", " a", "a ", "a\U000e0041", strings.Repeat("x", 129)} {
		if ValidName(bad) {
			t.Errorf("%q was taken", bad)
		}
	}
}
