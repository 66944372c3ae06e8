package settings

import (
	"fmt"
	"strings"
)

// ParsePerformance takes the options' names in any case, and Hyper-V's other
// names for them: TCP/IP and None are TCPIP, SMBTransport is SMB.
func ParsePerformance(s string) (Performance, error) {
	switch strings.ToLower(s) {
	case "tcpip", "tcp/ip", "none":
		return TCPIP, nil
	case "compression":
		return Compression, nil
	case "smb", "smbtransport":
		return SMB, nil
	}
	return "", fmt.Errorf("%q is none of TCPIP, Compression, SMB", s)
}

// ParseAuthentication takes the types' names in any case.
func ParseAuthentication(s string) (Authentication, error) {
	for _, a := range []Authentication{Kerberos, CredSSP} {
		if strings.EqualFold(s, string(a)) {
			return a, nil
		}
	}
	return "", fmt.Errorf("%q is none of Kerberos, CredSSP", s)
}

// ParseEncryption takes the policies' names in any case.
func ParseEncryption(s string) (Encryption, error) {
	for _, e := range []Encryption{Required, Allowed, Off} {
		if strings.EqualFold(s, string(e)) {
			return e, nil
		}
	}
	return "", fmt.Errorf("%q is none of Required, Allowed, Off", s)
}

// ParseSwitch takes on and off, and PowerShell's and YAML's true and false.
func ParseSwitch(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "on", "true", "$true", "yes", "1":
		return true, nil
	case "off", "false", "$false", "no", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither on nor off", s)
}

// Switch writes a boolean as the command line does: on, off.
func Switch(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// UnmarshalText reads a name as ParsePerformance does. Nothing stays nothing:
// moves that were recorded before there were settings have none.
func (p *Performance) UnmarshalText(b []byte) error { return unmarshal(p, b, ParsePerformance) }

// UnmarshalText reads a name as ParseAuthentication does; nothing stays nothing.
func (a *Authentication) UnmarshalText(b []byte) error { return unmarshal(a, b, ParseAuthentication) }

// UnmarshalText reads a name as ParseEncryption does; nothing stays nothing.
func (e *Encryption) UnmarshalText(b []byte) error { return unmarshal(e, b, ParseEncryption) }

func unmarshal[T ~string](into *T, b []byte, parse func(string) (T, error)) error {
	if len(b) == 0 {
		*into = ""
		return nil
	}
	v, err := parse(string(b))
	if err != nil {
		return err
	}
	*into = v
	return nil
}
