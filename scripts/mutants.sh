#!/usr/bin/env bash
# Removes one safeguard at a time and runs the simulation: each must be
# noticed. A mutant that survives fails the build.
#
#   scripts/mutants.sh [SEEDS]      seeds to try per mutant, default 150
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seeds=${1:-150}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go test -c -tags mutants -o "$dir/sim" ./internal/sim
names=$(sed -n 's/^\t[A-Za-z]* *Name = "\(.*\)"$/\1/p; s/^\t[A-Za-z]* *= "\(.*\)"$/\1/p' internal/mutant/mutant.go)
[ -n "$names" ] || { echo "no mutants found" >&2; exit 1; }

echo "none: must pass"
WAXWING_MUTANT= "$dir/sim" -test.run TestSeeds -seeds 5 >/dev/null

survivors=0
for m in $names; do
  if out=$(WAXWING_MUTANT=$m "$dir/sim" -test.run TestSeeds -seeds "$seeds" -test.timeout 20m 2>&1); then
    echo "SURVIVED  $m ($seeds seeds)"
    survivors=$((survivors + 1))
  else
    echo "caught    $m: $(grep -m1 -oE 'seed [0-9]+.*|panic: .*|fatal error: .*' <<<"$out")"
  fi
done
exit $((survivors > 0))
