package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Default is the configuration of an empty file.
func Default() (*Config, error) { return Parse(nil) }

func (c *Config) complete() error {
	if c.Host == "" {
		h, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("host: no value, and the machine has no name: %w", err)
		}
		short, _, _ := strings.Cut(h, ".")
		c.Host = strings.ToUpper(short)
	}
	short, _, _ := strings.Cut(c.Host, ".")
	set(&c.StateDir, "/var/lib/drover")
	set(&c.RunDir, "/run/drover")
	set(&c.API.Socket, filepath.Join(c.RunDir, "droverd.sock"))
	set(&c.Kerberos.Keytab, "/etc/krb5.keytab")
	set(&c.Kerberos.Krb5Conf, "/etc/krb5.conf")
	set(&c.Kerberos.Account, strings.ToUpper(short)+"$")
	set(&c.Log.Level, "info")
	set(&c.Log.Format, "text")
	if len(c.API.Listen) == 0 {
		c.API.Listen = []string{fmt.Sprintf("[::]:%d", APIPort)}
	}
	if len(c.Storage.Roots) == 0 {
		c.Storage.Roots = []string{"/var/lib/libvirt/images"}
	}
	if c.Storage.Seeds.MaxAge == nil {
		age := Duration(24 * time.Hour)
		c.Storage.Seeds.MaxAge = &age
	}
	if c.Storage.Seeds.MaxSize == nil {
		size := Size(100 << 30)
		c.Storage.Seeds.MaxSize = &size
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = Duration(5 * time.Minute)
	}
	if c.Events.MaxAge == 0 {
		c.Events.MaxAge = Duration(90 * 24 * time.Hour)
	}
	if c.Events.MaxEntries == 0 {
		c.Events.MaxEntries = 100_000
	}
	return nil
}

func set(p *string, v string) {
	if *p == "" {
		*p = v
	}
}

func (l Log) validate() error {
	switch l.Level {
	case "debug", "info", "warn", "error":
	default:
		return fmt.Errorf("log.level: %q is none of debug, info, warn, error", l.Level)
	}
	if l.Format != "text" && l.Format != "json" {
		return fmt.Errorf("log.format: %q is neither text nor json", l.Format)
	}
	return nil
}
