#!/bin/sh
# Drover: delegation
# 9 changes to 3 objects of lab.test
# planned 2026-11-20T12:00:00Z from dc1.lab.test
# run: sh FILE -U Administrator, or sh FILE --use-kerberos=required
set -eu
samba-tool delegation add-service 'O'\''Brien$' 'cifs/O'\''Brien' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'O'\''Brien$' 'cifs/‘’‚‛' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'O'\''Brien$' 'cifs/$(touch x)' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'O'\''Brien$' 'cifs/🐑' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'O'\''Brien$' 'ü' -H ldap://dc1.lab.test "$@"
samba-tool delegation for-any-protocol 'O'\''Brien$' on -H ldap://dc1.lab.test "$@"
samba-tool delegation add-principal 'O'\''Brien$' 'Größe’s$' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'Größe’s$' 'cifs/O'\''Brien' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'Größe’s$' 'cifs/‘’‚‛' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'Größe’s$' 'cifs/$(touch x)' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'Größe’s$' 'cifs/🐑' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'Größe’s$' 'ü' -H ldap://dc1.lab.test "$@"
samba-tool delegation for-any-protocol 'Größe’s$' on -H ldap://dc1.lab.test "$@"
samba-tool delegation add-principal 'Größe’s$' 'a b"$(x)`\,$' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'a b"$(x)`\,$' 'cifs/O'\''Brien' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'a b"$(x)`\,$' 'cifs/‘’‚‛' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'a b"$(x)`\,$' 'cifs/$(touch x)' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'a b"$(x)`\,$' 'cifs/🐑' -H ldap://dc1.lab.test "$@"
samba-tool delegation add-service 'a b"$(x)`\,$' 'ü' -H ldap://dc1.lab.test "$@"
samba-tool delegation for-any-protocol 'a b"$(x)`\,$' on -H ldap://dc1.lab.test "$@"
samba-tool delegation add-principal 'a b"$(x)`\,$' 'O'\''Brien$' -H ldap://dc1.lab.test "$@"
