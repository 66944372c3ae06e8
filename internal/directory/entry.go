package directory

// Entry is an object with the attributes that were asked for, as stored. An
// attribute without values is not in Attributes; its key there is the name as it
// was asked for.
type Entry struct {
	DN         string
	GUID       string
	USN        int64 // uSNChanged of this controller
	Attributes map[string][][]byte
}

// Strings are the values of an attribute that holds text.
func (e Entry) Strings(attribute string) []string {
	var out []string
	for _, v := range e.Attributes[attribute] {
		out = append(out, string(v))
	}
	return out
}

// Op is how a modification changes an attribute.
type Op string

// Operations. Delete without values removes the attribute; with values it fails
// with the fault directory-changed when one of them is not there, and Add when one
// is there already, so that either asserts what it expects. A value to be deleted is
// found whatever its case, where the attribute ignores case.
const (
	Add     Op = "add"
	Delete  Op = "delete"
	Replace Op = "replace"
)

// Mod is one change to one attribute.
type Mod struct {
	Op        Op
	Attribute string
	Values    [][]byte
}

// Group is a security group.
type Group struct {
	DN      string
	Name    string // sAMAccountName
	SID     string
	Members []string // distinguished names of direct members
	Type    uint32   // groupType, 0 when it may not be read
	USN     int64
}

// Bits of groupType (MS-ADTS 2.2.12). A global group has members of its own domain
// only; a domain-local group counts in its own domain only; a universal group may
// have members of every domain and counts in all of them.
const (
	GroupGlobal      uint32 = 0x2
	GroupDomainLocal uint32 = 0x4
	GroupUniversal   uint32 = 0x8
	GroupSecurity    uint32 = 0x80000000 // it is in tickets; else it is for mail only
)

// Changed is an object that changed after a USN.
type Changed struct {
	DN      string
	GUID    string
	USN     int64
	Deleted bool
}

// Root is what a controller says of itself and of its domain.
type Root struct {
	Server       string // dnsHostName
	Kind         Controller
	BaseDN       string // the domain
	ConfigDN     string
	ForestDN     string // the forest's root domain
	Domain       string // DNS name of the domain, lower case
	DomainSID    string
	NetBIOS      string // "" when it could not be read
	Controller   string // dsServiceName, the controller's own object
	InvocationID string // USNs are comparable between two answers with the same one
	GlobalCat    bool   // it is a global catalogue
	Local        bool   // reached by its privileged socket, with the system's rights
	Controllers  int    // controllers of the domain: with more than one, changes take effect there after replication
}
