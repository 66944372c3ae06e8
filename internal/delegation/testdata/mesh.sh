#!/bin/sh
# Drover: delegation
# 9 changes to 3 objects of lab.test
# planned 2026-11-20T12:00:00Z from dc1.lab.test
# run: sh FILE -U Administrator, or sh FILE --use-kerberos=required
set -eu
samba-tool delegation del-service 'HV01$' ' odd value: HV01$' -H ldap://dc1.lab.test "$@"
samba-tool delegation del-service 'HV01$' cifs/OLD -H ldap://dc1.lab.test "$@"
samba-tool delegation del-service 'HV01$' 'cifs/größe' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'HV01$' cifs/HV02 -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'HV01$' 'Microsoft Virtual System Migration Service/HV02' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'HV01$' 'Microsoft\ Virtual\ System\ Migration\ Service/HV02' -H ldap://dc1.lab.test "$@"
samba-tool delegation for-any-protocol 'HV01$' on -H ldap://dc1.lab.test "$@"
samba-tool delegation add-principal 'HV01$' 'HV02$' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'HV02$' cifs/HV03 -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'HV02$' 'Microsoft Virtual System Migration Service/HV03' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'HV02$' 'Microsoft\ Virtual\ System\ Migration\ Service/HV03' -H ldap://dc1.lab.test "$@"
samba-tool delegation for-any-protocol 'HV02$' on -H ldap://dc1.lab.test "$@"
samba-tool delegation add-principal 'HV02$' 'HV03$' -H ldap://dc1.lab.test "$@"
samba-tool delegation del-service 'HV03$' ' odd value: HV03$' -H ldap://dc1.lab.test "$@"
samba-tool delegation del-service 'HV03$' cifs/OLD -H ldap://dc1.lab.test "$@"
samba-tool delegation del-service 'HV03$' 'cifs/größe' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'HV03$' cifs/HV01 -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'HV03$' 'Microsoft Virtual System Migration Service/HV01' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'HV03$' 'Microsoft\ Virtual\ System\ Migration\ Service/HV01' -H ldap://dc1.lab.test "$@"
samba-tool delegation for-any-protocol 'HV03$' on -H ldap://dc1.lab.test "$@"
samba-tool delegation add-principal 'HV03$' 'HV01$' -H ldap://dc1.lab.test "$@"
