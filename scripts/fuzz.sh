#!/bin/sh
# Fuzzes every target of the tree, one after the other, for FUZZTIME each.
# usage: fuzz.sh FUZZTIME
#
# Go's fuzzing sometimes fails with nothing but "context deadline exceeded" when its time ends while
# a worker is busy. That is no finding: a finding writes its input. Everything else is a failure.
set -eu
time=$1
out=$(mktemp)
trap 'rm -f "$out"' EXIT

grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed 's/:func / /' | sort >"$out.targets"
while read -r file target; do
	dir=$(dirname "$file")
	echo "fuzz $target in $dir for $time"
	if go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "$dir" >"$out" 2>&1; then
		tail -n 1 "$out"
		continue
	fi
	if [ "$(grep -c '^    ' "$out")" = 1 ] && grep -q '^    context deadline exceeded$' "$out" && ! grep -q 'Failing input' "$out"; then
		echo "ok: time ended while a worker was busy, no finding"
		continue
	fi
	cat "$out"
	rm -f "$out.targets"
	exit 1
done <"$out.targets"
rm -f "$out.targets"
