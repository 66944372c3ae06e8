# Makes the lab's domain: provisions Samba and fills its directory, in one process because each
# call of samba-tool costs 0.4 s. Reads a description (directorySpec in dc.go) as JSON from
# standard input and writes {"group_sids": {...}} to standard output.
import json
import logging
import os
import string
import sys

import ldb
import samba.dckeytab  # adds Net.export_keytab
from samba import dsdb
from samba.auth import system_session
from samba.credentials import Credentials
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack
from samba.net import Net
from samba.param import LoadParm
from samba.provision import provision
from samba.provision.sambadns import ARecord
from samba.samdb import SamDB

# Samba's own code prints to standard output as well: keep that for the result.
result = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
spec = json.load(sys.stdin)
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)

lp = LoadParm()
lp.load("/etc/samba/smb.conf")
provision(
    logging.getLogger("provision"), system_session(), smbconf="/etc/samba/smb.conf", lp=lp,
    realm=spec["realm"], domain=spec["netbios"], serverrole="dc", dns_backend="SAMBA_INTERNAL",
    dom_for_fun_level=dsdb.DS_DOMAIN_FUNCTION_2008_R2, hostname="dc1", hostip=spec["dc_address"],
    adminpass=spec["administrator_password"], next_rid=1000, use_rfc2307=False,
    skip_sysvolacl=True, batch_mode=True)

lp = LoadParm()
lp.load("/etc/samba/smb.conf")
sam = SamDB(url=lp.samdb_url(), session_info=system_session(lp), lp=lp)
base = str(sam.domain_dn())


def change(dn, name, values, how=ldb.FLAG_MOD_REPLACE):
    message = ldb.Message(ldb.Dn(sam, dn))
    message[name] = ldb.MessageElement(values, how, name)
    sam.modify(message)


def add_controller_service_names():
    """What samba_spnupdate does; without it there is no ldap/dc1 name."""
    entry = sam.search(base=base, expression="(sAMAccountName=DC1$)", attrs=["servicePrincipalName"])[0]
    present = {str(v).lower() for v in entry.get("servicePrincipalName", [])}
    names = {
        "DNSDOMAIN": sam.domain_dns_name(), "DNSFOREST": sam.forest_dns_name(),
        "HOSTNAME": sam.host_dns_name(), "NETBIOSNAME": "DC1", "WORKGROUP": spec["netbios"],
        "NTDSGUID": sam.get_ntds_GUID(),
    }
    missing = []
    with open(lp.private_path("spn_update_list")) as f:
        for line in f:
            line = line.strip()
            if line and not line.startswith("#"):
                value = string.Template(line).substitute(names)
                if value.lower() not in present:
                    missing.append(value)
    if missing:
        change(str(entry.dn), "servicePrincipalName", missing, ldb.FLAG_MOD_ADD)


def add_computer(c):
    dn = "CN=%s,CN=Computers,%s" % (c["name"], base)
    sam.add({
        "dn": dn, "objectClass": "computer", "sAMAccountName": c["name"] + "$",
        "userAccountControl": str(dsdb.UF_WORKSTATION_TRUST_ACCOUNT | dsdb.UF_ACCOUNTDISABLE),
        "dNSHostName": c["fqdn"], "servicePrincipalName": c["service_names"],
        # Unset means RC4.
        "msDS-SupportedEncryptionTypes": str(
            security.KERB_ENCTYPE_AES128_CTS_HMAC_SHA1_96 | security.KERB_ENCTYPE_AES256_CTS_HMAC_SHA1_96),
    })
    sam.setpassword("(sAMAccountName=%s$)" % c["name"], c["password"], False)
    change(dn, "userAccountControl", [str(c["flags"])])
    if c["delegate_to"]:
        change(dn, "msDS-AllowedToDelegateTo", c["delegate_to"])


def add_user(u):
    sam.newuser(u["name"], u["password"])
    change("CN=%s,CN=Users,%s" % (u["name"], base), "userAccountControl", [str(u["flags"])])
    for group in u["groups"] or []:
        sam.add_remove_group_members(group, [u["name"]], add_members_operation=True)


def add_address(name, address):
    zone = "DC=%s,CN=MicrosoftDNS,DC=DomainDnsZones,%s" % (spec["domain"], base)
    sam.add({
        "dn": "DC=%s,%s" % (name, zone), "objectClass": "dnsNode",
        "dnsRecord": ndr_pack(ARecord(address, serial=1)),
    })


def export_keytab(name):
    path = "/run/keytabs/%s.keytab" % name
    principal = name + "$"
    try:
        Net(Credentials(), lp).export_keytab(keytab=path, principal=principal)
    except TypeError:  # Samba 4.20 and later
        Net(Credentials(), lp).export_keytab(samdb=sam, keytab=path, principal=principal)


def group_sid(name):
    entry = sam.search(base=base, expression="(sAMAccountName=%s)" % name, attrs=["objectSid"])[0]
    return str(ndr_unpack(security.dom_sid, entry["objectSid"][0]))


add_controller_service_names()
for group in spec["groups"]:
    sam.newgroup(group)
for user in spec["users"]:
    add_user(user)
for computer in spec["computers"]:
    add_computer(computer)
for name, address in spec["addresses"].items():
    add_address(name, address)
os.makedirs("/run/keytabs", mode=0o700)
for computer in spec["computers"]:
    export_keytab(computer["name"])
json.dump({"group_sids": {g: group_sid(g) for g in spec["groups"]}}, result)
result.close()
