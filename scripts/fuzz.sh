#!/usr/bin/env bash
# Fuzzes the targets of the product for a while each.
#
#   scripts/fuzz.sh [TIME [one]]      per target, default 5s; one of each package
#
# Most of a short run is linking, which each target costs; all inputs that are
# committed run in the ordinary tests anyway. "one" leaves out packages whose tests
# link databases: to compile those for fuzzing takes minutes.
#
# Go before 1.27 sometimes calls the end of the time a failure (go.dev/issue/75804):
# all that it then says is "context deadline exceeded", and there is no failing
# input. Such a run shows nothing, neither good nor bad, so the target is fuzzed
# again, three times at most.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
time=${1:-5s}
which=${2:-all}

# indecisive says whether the output on stdin is that of a run that failed by its
# own end alone.
indecisive() {
  local rest
  rest=$(grep -vE '^(fuzz: elapsed: .*|--- FAIL: Fuzz[A-Za-z0-9_]* \([0-9.]+s\)|FAIL|FAIL[[:space:]].*|exit status 1|ok[[:space:]].*)$' || true)
  [ "$rest" = "    context deadline exceeded" ]
}

found=0
last=
while IFS=: read -r file target; do
  pkg=./$(dirname "$file")
  if [ "$which" = one ]; then
    case $pkg in "$last" | ./cmd/waxwing | ./seal) continue ;; esac
  fi
  last=$pkg
  found=$((found + 1))
  for try in 1 2 3; do
    echo "fuzz $pkg $target"
    out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$pkg" 2>&1) && break
    echo "$out"
    if [ "$try" = 3 ] || ! indecisive <<<"$out"; then exit 1; fi
    echo "that was the end of the time, not a failing input; once more"
  done
done < <(git ls-files '*_test.go' | grep -v '^conformance/' | xargs grep -oH 'func Fuzz[A-Za-z0-9_]*' | sed 's/func //')
[ "$found" -gt 0 ] || { echo "no fuzz targets found" >&2; exit 1; }
echo "$found targets"
