#!/bin/sh
# Drover: delegation
# 9 changes to 3 objects of lab.test
# planned 2026-11-20T12:00:00Z from dc1.lab.test
# run: as root on dc1.lab.test: sh FILE
set -eu
samba-tool delegation del-service 'HV01$' ' odd value: HV01$' "$@"
samba-tool delegation del-service 'HV01$' cifs/OLD "$@"
samba-tool delegation del-service 'HV01$' 'cifs/größe' "$@"
samba-tool delegation add-service 'HV01$' cifs/HV02 "$@"
samba-tool delegation add-service 'HV01$' 'Microsoft Virtual System Migration Service/HV02' "$@"
samba-tool delegation add-service 'HV01$' 'Microsoft\ Virtual\ System\ Migration\ Service/HV02' "$@"
samba-tool delegation for-any-protocol 'HV01$' on "$@"
samba-tool delegation add-principal 'HV01$' 'HV02$' "$@"
samba-tool delegation add-service 'HV02$' cifs/HV03 "$@"
samba-tool delegation add-service 'HV02$' 'Microsoft Virtual System Migration Service/HV03' "$@"
samba-tool delegation add-service 'HV02$' 'Microsoft\ Virtual\ System\ Migration\ Service/HV03' "$@"
samba-tool delegation for-any-protocol 'HV02$' on "$@"
samba-tool delegation add-principal 'HV02$' 'HV03$' "$@"
samba-tool delegation del-service 'HV03$' ' odd value: HV03$' "$@"
samba-tool delegation del-service 'HV03$' cifs/OLD "$@"
samba-tool delegation del-service 'HV03$' 'cifs/größe' "$@"
samba-tool delegation add-service 'HV03$' cifs/HV01 "$@"
samba-tool delegation add-service 'HV03$' 'Microsoft Virtual System Migration Service/HV01' "$@"
samba-tool delegation add-service 'HV03$' 'Microsoft\ Virtual\ System\ Migration\ Service/HV01' "$@"
samba-tool delegation for-any-protocol 'HV03$' on "$@"
samba-tool delegation add-principal 'HV03$' 'HV01$' "$@"
