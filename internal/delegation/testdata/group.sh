#!/bin/sh
# Drover: delegation
# 5 changes to 3 objects of lab.test
# planned 2026-11-20T12:00:00Z from dc1.lab.test
# run: sh FILE -U Administrator, or sh FILE --use-kerberos=required
set -eu
samba-tool group add 'Drover Hosts' '--groupou=CN=Users' '--description=Hosts that move virtual machines to each other' -H ldap://dc1.lab.test "$@"
samba-tool group addmembers 'Drover Hosts' '--member-dn=CN=HV01,CN=Computers,DC=lab,DC=test' -H ldap://dc1.lab.test "$@"
samba-tool group addmembers 'Drover Hosts' '--member-dn=CN=HV02,CN=Computers,DC=lab,DC=test' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-principal 'HV01$' 'Drover Hosts' -H ldap://dc1.lab.test "$@"
samba-tool delegation for-any-protocol 'HV01$' on -H ldap://dc1.lab.test "$@"
samba-tool delegation add-principal 'HV02$' 'Drover Hosts' -H ldap://dc1.lab.test "$@"
samba-tool delegation for-any-protocol 'HV02$' on -H ldap://dc1.lab.test "$@"
