package cli

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/fault"
	"drover/internal/finding"
)

func scriptingPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/scripting.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestExitStatusesInTheDocumentationAreThoseOfClassesAndFindings(t *testing.T) {
	want := map[string]string{"0": "success"}
	for _, e := range fault.All() {
		want[strconv.Itoa(e.Class.ExitStatus())] = e.Class.String()
	}
	for _, severity := range finding.Severities {
		if status := severity.ExitStatus(); status != 0 {
			want[strconv.Itoa(status)] = string(severity)
		}
	}
	got := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \| ([a-z-]+) \|`).FindAllStringSubmatch(scriptingPage(t), -1) {
		got[m[1]] = m[2]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEveryVerbWithAResultIsInTheScriptingPage(t *testing.T) {
	page := scriptingPage(t)
	for _, c := range verbs() {
		if c.HasSubCommands() && c.Name() != "move" || c.Hidden || !c.Runnable() || strings.Contains(c.CommandPath(), "completion") || c.Name() == "help" {
			continue
		}
		if !strings.Contains(page, "`"+c.CommandPath()) {
			t.Errorf("docs/scripting.md does not say what `%s -o json` prints", c.CommandPath())
		}
	}
}

// The command line must run where no host's software is, so it may not import
// what drives a host.
func TestImportsNothingOfAnAgent(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, ".", "../../cmd/drover").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, pkg := range strings.Fields(string(out)) {
		switch pkg {
		case "drover/internal/agent", "drover/internal/store", "drover/internal/virt", "drover/internal/stream", "drover/internal/storage":
			t.Errorf("the command line imports %s", pkg)
		}
	}
}

func TestCompletionScriptsForEveryShell(t *testing.T) {
	for shell, mark := range map[string]string{"bash": "complete -o default -F __start_drover drover", "zsh": "#compdef drover", "fish": "complete -c drover", "powershell": "Register-ArgumentCompleter"} {
		var out, errs bytes.Buffer
		if status := Run(t.Context(), []string{"completion", shell}, nil, &out, &errs); status != 0 || !strings.Contains(out.String(), mark) {
			t.Errorf("%s: status %d, %d bytes without %q, stderr %q", shell, status, out.Len(), mark, errs.String())
		}
	}
}
