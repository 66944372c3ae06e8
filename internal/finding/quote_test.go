package finding

import "testing"

func TestQuotedWordsArriveAsTheyWere(t *testing.T) {
	for _, tc := range []struct {
		tool   Tool
		values []string
		want   string
	}{
		{SambaTool, []string{"HV01", "HV01$", "it's", "", `a\ b`}, `HV01 'HV01$' 'it'\''s' '' 'a\ b'`},
		{Drover, []string{"cifs/hv01.example.org:445"}, "cifs/hv01.example.org:445"},
		{PowerShell, []string{"x\u2019; evil"}, "'x\u2019\u2019; evil'"},
		{PowerShell, []string{"HV01$", "it's", "$(evil)"}, `'HV01$','it''s','$(evil)'`},
	} {
		if got := Quote(tc.tool, tc.values...); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.tool, got, tc.want)
		}
	}
}
