#!/usr/bin/env bash
# Removes one safeguard at a time and runs the simulation: each must be
# noticed, by a seed that fails or by a panic of the product. A mutant that
# survives fails the build, and so does one of which nothing can be said: the
# simulation ran out of time, was killed, or did not start.
#
#   scripts/mutants.sh [SEEDS]      seeds to try per mutant, default 150
#
# Environment: MUTANT_TIMEOUT (20m), for each mutant.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seeds=${1:-150}
timeout=${MUTANT_TIMEOUT:-20m}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go test -c -tags mutants -o "$dir/sim" ./internal/sim || { echo "the simulation does not build" >&2; exit 1; }
names=$(sed -n 's/^\t[A-Za-z]* *Name = "\(.*\)"$/\1/p; s/^\t[A-Za-z]* *= "\(.*\)"$/\1/p' internal/mutant/mutant.go)
[ -n "$names" ] || { echo "no mutants found" >&2; exit 1; }

# simulate MUTANT SEEDS runs the simulation and leaves what it printed in $dir/out.
simulate() {
  WAXWING_MUTANT=$1 "$dir/sim" -test.run '^TestSeeds$' -seeds "$2" -test.timeout "$timeout" >"$dir/out" 2>&1
}

# verdict CODE says what the end of a run means: survived, caught or unclear.
verdict() {
  if [ "$1" = 0 ]; then
    echo survived
  elif grep -q 'panic: test timed out' "$dir/out"; then
    echo unclear
  elif grep -qE '^ *[a-z_]+\.go:[0-9]+: seed [0-9]+' "$dir/out" && grep -q '^--- FAIL: TestSeeds' "$dir/out"; then
    echo caught
  elif grep -qE '^panic: ' "$dir/out"; then
    echo caught
  else
    echo unclear
  fi
}

echo "none: must pass"
simulate "" 5 || { cat "$dir/out"; echo "the simulation fails without a mutant" >&2; exit 1; }

bad=0
for m in $names; do
  code=0
  simulate "$m" "$seeds" || code=$?
  case $(verdict "$code") in
    caught) echo "caught    $m: $(grep -m1 -oE 'seed [0-9]+.*|panic: .*' "$dir/out")" ;;
    survived)
      echo "SURVIVED  $m ($seeds seeds)"
      bad=$((bad + 1))
      ;;
    *)
      echo "UNCLEAR   $m: exit code $code; the end of what it printed:"
      tail -n 20 "$dir/out"
      bad=$((bad + 1))
      ;;
  esac
done
exit $((bad > 0))
