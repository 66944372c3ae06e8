package directory

import (
	"context"
	"errors"
	"strings"
	"testing"

	"drover/internal/directory/secdesc"
	"drover/internal/fault"

	"github.com/go-ldap/ldap/v3"
)

func TestRefusalsHaveCodes(t *testing.T) {
	value := [][]byte{[]byte("x")}
	add := []Mod{{Add, AttributeDelegateTo, value}}
	change := []Mod{{Delete, AttributeDelegateTo, value}, {Add, AttributeFlags, value}}
	removeMember := []Mod{{Delete, AttributeMember, value}}
	for name, c := range map[string]struct {
		kind   Controller
		mods   []Mod
		result uint16
		text   string
		code   fault.Code
		want   string // in the message
	}{
		"denied":                  {Windows, add, ldap.LDAPResultInsufficientAccessRights, "00002098", fault.DirectoryAccessDenied, "you may not write msDS-AllowedToDelegateTo of CN=X; who may could not be read"},
		"value absent":            {Windows, change, ldap.LDAPResultNoSuchAttribute, "", fault.DirectoryChanged, "msDS-AllowedToDelegateTo, userAccountControl of CN=X"},
		"attribute unknown":       {Windows, add, ldap.LDAPResultNoSuchAttribute, "", fault.DirectoryFailed, ""},
		"value present":           {Windows, add, ldap.LDAPResultAttributeOrValueExists, "", fault.DirectoryChanged, ""},
		"member present":          {Samba, []Mod{{Add, AttributeMember, value}}, ldap.LDAPResultEntryAlreadyExists, "", fault.DirectoryChanged, ""},
		"member absent, Samba":    {Samba, removeMember, ldap.LDAPResultUnwillingToPerform, "Attribute member doesn't exist for target GUID 66e904a6", fault.DirectoryChanged, "member of CN=X"},
		"member absent, Windows":  {Windows, removeMember, ldap.LDAPResultUnwillingToPerform, "00000561: SvcErr: DSID-031A1254, problem 5003 (WILL_NOT_PERFORM), data 0\n\x00", fault.DirectoryChanged, "(WILL_NOT_PERFORM), data 0"},
		"unwilling":               {Samba, removeMember, ldap.LDAPResultUnwillingToPerform, "00002035: Unable", fault.DirectoryFailed, "LDAP result 53, Unwilling To Perform: 00002035: Unable"},
		"object gone":             {Windows, add, ldap.LDAPResultNoSuchObject, "", fault.DirectoryObjectGone, "CN=X"},
		"other domain":            {Windows, add, ldap.LDAPResultReferral, "", fault.DirectoryObjectGone, "CN=X"},
		"member gone":             {Windows, []Mod{{Add, AttributeMember, value}}, ldap.LDAPResultNoSuchObject, "", fault.DirectoryObjectGone, "or one that was to be a member"},
		"full":                    {Windows, add, ldap.LDAPResultAdminLimitExceeded, "", fault.DirectoryLimit, AttributeDelegateTo},
		"name taken":              {Samba, add, ldap.LDAPResultConstraintViolation, "spn[cifs/HV01] would cause a conflict", fault.DirectoryFailed, "would cause a conflict"},
		"resource-based, Samba":   {Samba, []Mod{{Add, AttributeActOnBehalf, value}}, ldap.LDAPResultConstraintViolation, "", fault.DelegationModel, "over the network"},
		"resource-based, Windows": {Windows, []Mod{{Add, AttributeActOnBehalf, value}}, ldap.LDAPResultConstraintViolation, "", fault.DirectoryFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn, _ := scripted(t, c.kind, func(q asked) answer {
				if q.op != ldap.ApplicationModifyRequest {
					return answer{code: ldap.LDAPResultNoSuchObject}
				}
				return answer{code: c.result, text: c.text}
			})
			err := conn.Modify(t.Context(), "CN=X", c.mods...)
			if !fault.Is(err, c.code) || !strings.Contains(fault.From(err).Message(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// The descriptor of a computer that lets Domain Admins and SYSTEM write all, and one
// unknown SID the delegation list.
func TestAccessDeniedNamesWhoMay(t *testing.T) {
	descriptor := ownedBy(t)
	c, _ := scripted(t, Windows, func(q asked) answer {
		switch {
		case q.op == ldap.ApplicationModifyRequest:
			return answer{code: ldap.LDAPResultInsufficientAccessRights}
		case strings.Contains(q.filter, "attributeSchema"):
			return answer{entries: []*ldap.Entry{ldap.NewEntry("CN=S", map[string][]string{"schemaIDGUID": {"0123456789abcdef"}})}}
		case strings.Contains(q.filter, "objectSid"):
			return answer{entries: []*ldap.Entry{ldap.NewEntry("CN=DA", map[string][]string{"objectSid": {testSID(200)}, "sAMAccountName": {"Domain Admins"}})}}
		}
		return answer{entries: []*ldap.Entry{ldap.NewEntry("CN=X", map[string][]string{"objectGUID": {"0123456789abcdef"}, "nTSecurityDescriptor": {descriptor}})}}
	})
	err := c.Modify(t.Context(), "CN=X", Mod{Add, AttributeDelegateTo, [][]byte{[]byte("x")}})
	if f := fault.From(err); f.Code != fault.DirectoryAccessDenied || f.Args["writers"] != "those who may: Domain Admins, S-1-5-21-1-2-3-201" {
		t.Errorf("%v", err)
	}
}

// ownedBy makes the descriptor for TestAccessDeniedNamesWhoMay.
func ownedBy(t *testing.T) string {
	t.Helper()
	b, err := secdesc.Merge(nil, []secdesc.SID{"S-1-5-21-1-2-3-200", "S-1-5-18", "S-1-5-21-1-2-3-201"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestALostConnectionIsUnreachable(t *testing.T) {
	c, _ := scripted(t, Samba, func(asked) answer { return answer{} })
	c.Close()
	if _, err := c.Read(t.Context(), "CN=X", "cn"); !fault.Is(err, fault.DirectoryUnreachable) {
		t.Errorf("%v", err)
	}
	if err := c.DeleteObject(t.Context(), "CN=X"); !fault.Is(err, fault.DirectoryUnreachable) {
		t.Errorf("%v", err)
	}
}

func TestTheEndOfTheCallerIsNoFaultOfTheDirectory(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := scripted(t, Samba, func(asked) answer { cancel(); return answer{code: ldap.LDAPResultBusy} })
	if err := c.DeleteObject(ctx, "CN=X"); !errors.Is(err, context.Canceled) || fault.From(err).Code != fault.Cancelled {
		t.Errorf("%v", err)
	}
}

// It holds the object and answers with a reference to those who may change it.
func TestAReadOnlyControllerIsToldAsSuch(t *testing.T) {
	c, _ := scripted(t, Windows, func(asked) answer { return answer{code: ldap.LDAPResultReferral} })
	err := c.Modify(t.Context(), "CN=HV01,DC=Lab,DC=test", Mod{Add, AttributeDelegateTo, [][]byte{[]byte("x")}})
	if !fault.Is(err, fault.DirectoryFailed) || !strings.Contains(fault.From(err).Message(), "read-only") {
		t.Errorf("%v", err)
	}
}
