#!/bin/sh
# Installs the Debian packages that a list names, and Go when there is none. Does nothing, and
# needs no network, when everything is there.
# usage: install-packages.sh LIST
set -eu
list=$1

wanted=$(sed 's/#.*//' "$list")
# Go is no entry of the list: many machines have it from elsewhere, and Debian's is asked for only
# to fetch the version that go.mod names.
command -v go >/dev/null 2>&1 || wanted="$wanted golang-go"

missing=
for package in $wanted; do
	dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "not installed:$missing" >&2
	echo "run \`make deps\` as root, or: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

. /etc/os-release
export DEBIAN_FRONTEND=noninteractive
from=
case " $missing " in
*" golang-go "*)
	# A Go before 1.21 cannot fetch a newer one; Debian 12 has a newer one in its backports only.
	if [ "${VERSION_CODENAME:-}" = bookworm ]; then
		echo "deb http://deb.debian.org/debian bookworm-backports main" >/etc/apt/sources.list.d/drover-backports.list
		from="golang-go/bookworm-backports golang-src/bookworm-backports"
	fi
	;;
esac

echo "installing:$missing"
# Nothing that the packages bring is to run on this machine itself: the lab starts its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
	trap 'rm -f $policy' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing $from </dev/null

if ! command -v go >/dev/null 2>&1; then
	echo "Go could not be installed; see https://go.dev/doc/install" >&2
	exit 1
fi
