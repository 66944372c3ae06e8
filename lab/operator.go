package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Result is how a command line ended.
type Result struct {
	Stdout, Stderr string
	Status         int
}

// cachePath is where a user's tickets lie on the workstation.
func cachePath(user string) string { return "/tmp/krb5cc_" + user }

// passwordOf is the password of a user of the domain.
func passwordOf(user string) string {
	if equalFold(user, UserAdministrator) {
		return AdministratorPassword
	}
	return UserPassword
}

// KInit signs a user (User...) in on the workstation with MIT's kinit.
func (l *Lab) KInit(ctx context.Context, user string, flags ...string) error {
	cmd := l.Member(MGMT).Command(ctx, append(append([]string{"kinit", "-c", cachePath(user)}, flags...), user+"@"+Realm)...)
	cmd.Stdin = strings.NewReader(passwordOf(user) + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kinit %s: %w: %s", user, err, out)
	}
	return nil
}

// DroverCommand prepares drover on the workstation, with the tickets of user.
func (l *Lab) DroverCommand(ctx context.Context, user string, args ...string) *exec.Cmd {
	cmd := l.Member(MGMT).Command(ctx, append([]string{AssetsDir + "/bin/drover"}, args...)...)
	cmd.Env = append(cmd.Env, "KRB5CCNAME="+cachePath(user))
	return cmd
}

// Drover runs drover on the workstation to its end, with the tickets of user. The error is only
// about running it.
func (l *Lab) Drover(ctx context.Context, user string, args ...string) (Result, error) {
	return finish(l.DroverCommand(ctx, user, args...))
}

// DroverOn runs drover to its end as root on any member, with env ("KEY=value") added to its
// environment. On a host and on NEW1 after Join that is drover with the machine's keytab in
// /etc/krb5.keytab at hand. The error is only about running it.
func (l *Lab) DroverOn(ctx context.Context, member string, env []string, args ...string) (Result, error) {
	m := l.Member(member)
	if m == nil {
		return Result{}, fmt.Errorf("lab %s has no member %s", l.Name(), member)
	}
	cmd := m.Command(ctx, append([]string{AssetsDir + "/bin/drover"}, args...)...)
	cmd.Env = append(cmd.Env, env...)
	return finish(cmd)
}

// finish runs a command to its end; whatever its exit status, that is no error.
func finish(cmd *exec.Cmd) (Result, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := Result{Stdout: out.String(), Stderr: errs.String(), Status: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return r, err
}

// DroverJSON runs drover with -o json and reads what it prints.
func (l *Lab) DroverJSON(ctx context.Context, user string, into any, args ...string) error {
	r, err := l.Drover(ctx, user, append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	if r.Status != 0 {
		return fmt.Errorf("drover %s: status %d: %s%s", strings.Join(args, " "), r.Status, r.Stdout, r.Stderr)
	}
	return json.Unmarshal([]byte(r.Stdout), into)
}
