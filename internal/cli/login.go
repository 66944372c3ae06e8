package cli

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/fault"
	"drover/internal/krb"
)

type loginOptions struct{ passwordStdin bool }

// signedIn is the JSON form of a login.
type signedIn struct {
	Principal   string    `json:"principal"`
	Expires     time.Time `json:"expires"`
	Forwardable bool      `json:"forwardable"`
}

func newLogin(p *program) *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use:   "login [PRINCIPAL]",
		Short: "Get a Kerberos ticket with a password, as kinit does",
		Long: `Get a forwardable Kerberos ticket with a password and put it into the credential
cache ($KRB5CCNAME, else FILE:/tmp/krb5cc_UID), where kinit, klist and kdestroy
find it, too. Without PRINCIPAL it is that of the cache, else your user name; a
PRINCIPAL without realm is in the default realm of krb5.conf.`,
		Example: `  drover login alice@EXAMPLE.ORG
  pass show alice | drover login alice@EXAMPLE.ORG --password-stdin`,
		Args: cobra.MaximumNArgs(1),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.runLogin(ctx, o, args)
		}),
	}
	cmd.Flags().BoolVar(&o.passwordStdin, "password-stdin", false, "read the password from the first line of stdin")
	return cmd
}

func (p *program) runLogin(ctx context.Context, o loginOptions, args []string) error {
	principal := ""
	if len(args) == 1 {
		principal = args[0]
	} else {
		principal = usualPrincipal()
	}
	if principal == "" {
		return misuse("name the principal: drover login USER@REALM")
	}
	password, err := p.password(ctx, o, principal)
	if err != nil {
		return err
	}
	if principal, err = krb.Login(ctx, principal, password, "", "", nil); err != nil {
		return err
	}
	op, err := krb.OpenOperator("", "", nil)
	if err != nil {
		return err
	}
	if p.out != table {
		return p.out.write(p.stdout, signedIn{principal, op.Expires(), op.Forwardable()})
	}
	_, err = fmt.Fprintf(p.stdout, "%s is signed in until %s\n", clean(principal), moment(op.Expires()))
	if err == nil && !op.Forwardable() {
		p.screen.line("note: the ticket is not forwardable, so no host can act for %s; moves will be refused", principal)
	}
	return err
}

// usualPrincipal is the one whose ticket is or was in the cache, else the user.
func usualPrincipal() string {
	op, err := krb.OpenOperator("", "", nil)
	if err == nil {
		return op.Principal()
	}
	var f *fault.Error
	if errors.As(err, &f) && f.Code == fault.TicketExpired {
		return f.Args["principal"]
	}
	if u, err := user.Current(); err == nil && u.Username != "root" {
		return u.Username
	}
	return ""
}

func (p *program) password(ctx context.Context, o loginOptions, principal string) (string, error) {
	var password string
	var err error
	switch {
	case o.passwordStdin:
		password, err = readLine(p.stdin)
	case p.asker.able():
		password, err = p.asker.readPassword(ctx, "Password for "+principal+":")
	default:
		return "", misuse("nobody can be asked for the password here; give it with --password-stdin")
	}
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if password == "" {
		return "", misuse("the password is empty")
	}
	return password, nil
}
