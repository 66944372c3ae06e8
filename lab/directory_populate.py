# Fills the lab's directory with many accounts, in one transaction of one process: Populate in
# populate.go. Reads {"computers_ou": DN, "users_ou": DN, "zone": DN, "computers": [...],
# "users": [...]} as JSON from standard input.
import json
import sys

import ldb
from samba.auth import system_session
from samba.ndr import ndr_pack
from samba.param import LoadParm
from samba.provision.sambadns import ARecord
from samba.samdb import SamDB

spec = json.load(sys.stdin)
lp = LoadParm()
lp.load("/etc/samba/smb.conf")
sam = SamDB(
    url=lp.samdb_url(), session_info=system_session(lp), lp=lp, flags=ldb.FLG_NOSYNC,
    # Otherwise each entry is a transaction within the transaction, which copies the indexes: on
    # Samba 4.17 10,500 accounts then take 87 s instead of 16 s.
    options=["batch_mode:1", "transaction_index_cache_size:200000"])


def add(ou, account, **attributes):
    entry = {
        "dn": "CN=%s,%s" % (account["name"], ou), "sAMAccountName": account["account"],
        "userAccountControl": str(account["flags"]), **attributes,
    }
    for name, key in (("servicePrincipalName", "service_names"), ("msDS-AllowedToDelegateTo", "delegate_to"),
                      ("operatingSystem", "system")):
        if account.get(key):
            entry[name] = account[key]
    sam.add(entry)
    if account.get("address"):
        sam.add({
            "dn": "DC=%s,%s" % (account["name"].lower(), spec["zone"]), "objectClass": "dnsNode",
            "dnsRecord": ndr_pack(ARecord(account["address"], serial=1)),
        })


sam.transaction_start()
try:
    for ou in (spec["computers_ou"], spec["users_ou"]):
        sam.add({"dn": ou, "objectClass": "organizationalUnit"})
    for c in spec["computers"] or []:
        add(spec["computers_ou"], c, **{
            "objectClass": "computer", "dNSHostName": c["fqdn"], "msDS-SupportedEncryptionTypes": str(c["encryption_types"])})
    for u in spec["users"] or []:
        add(spec["users_ou"], u, objectClass="user")
except BaseException:
    sam.transaction_cancel()
    raise
sam.transaction_commit()
