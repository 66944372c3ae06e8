// Command drover moves virtual machines between hosts; see `drover help`.
package main

import (
	"context"
	"os"

	"drover/internal/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
