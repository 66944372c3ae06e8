package cli

import (
	"context"
	"strings"

	"drover/internal/api"
	"drover/internal/record"
)

// Compare finds what lines `incompatible OBJECT OPTION CODE ARG=VALUE...` of the
// scenario say, unless the request has the option. %20 stands for a blank, - for
// no option.
func (f *fakeAgent) Compare(_ context.Context, _ api.Caller, r record.Request) (record.Comparison, error) {
	if err := f.refusal("compare"); err != nil {
		return record.Comparison{}, err
	}
	out := record.Comparison{VM: r.VM, Source: f.host, Destination: r.Destination, Incompatibilities: []record.Incompatibility{}}
	asked := " " + strings.Join(optionWords(&r), " ") + " "
	for _, l := range f.scenario {
		w := strings.Fields(l)
		if len(w) < 4 || w[0] != "incompatible" {
			continue
		}
		object, option := strings.ReplaceAll(w[1], "%20", " "), strings.Trim(strings.ReplaceAll(w[2], "%20", " "), "-")
		if option != "" {
			if option = "--" + option; strings.Contains(asked, " "+option+" ") {
				continue
			}
		}
		e := f.fault(w[3:])
		out.Incompatibilities = append(out.Incompatibilities, record.Incompatibility{Code: e.Code, Host: e.Host, Message: e.Message(), Object: object, Option: option, Error: e})
	}
	if len(out.Incompatibilities) == 0 {
		f.rec.Request = r
		out.Plan = f.plan(nil)
	}
	return out, nil
}

func (f *fakeAgent) AdjustMove(_ context.Context, _ api.Caller, id string, a api.Adjustment) (record.Record, error) {
	if err := f.known(id); err != nil {
		return record.Record{}, err
	}
	if err := f.refusal("adjust"); err != nil {
		return record.Record{}, err
	}
	f.change(func() { f.rec.Request.MaxBlackoutMS = a.MaxBlackoutMS })
	return f.record(), nil
}
