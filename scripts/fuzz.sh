#!/usr/bin/env bash
# Fuzzes every target of the product for a while each.
#
#   scripts/fuzz.sh [TIME]      per target, default 5s
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
time=${1:-5s}
found=0
while IFS=: read -r file target; do
  found=$((found + 1))
  pkg=./$(dirname "$file")
  echo "fuzz $pkg $target"
  out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$pkg" 2>&1) || { echo "$out"; exit 1; }
done < <(git ls-files '*_test.go' | grep -v '^conformance/' | xargs grep -oH 'func Fuzz[A-Za-z0-9_]*' | sed 's/func //')
[ "$found" -gt 0 ] || { echo "no fuzz targets found" >&2; exit 1; }
echo "$found targets"
