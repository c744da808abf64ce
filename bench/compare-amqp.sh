#!/usr/bin/env bash
# Waxwing and RabbitMQ in turn, under the same client with the same settings:
# A B B A in each round. Prints what each run did, the median ratios and the
# goals, and writes every run as JSON.
#
#   row 1   1 KB, durable, confirmed, publish only: two publishers, 1,000
#           messages unconfirmed each, as fast as possible
#   row 2   the same with a consumer: one publisher, 200 unconfirmed
#   row 3   row 2 at a fixed rate, far below what both can do: latency
#   row n   the same near to what RabbitMQ can do
#   row q   quorum queues on both sides, otherwise row 2
#   row 4   QUEUES (10,000) queues in turn against one, Waxwing alone
#
# A confirm of Waxwing means that the message is on disk. RabbitMQ's classic
# queues confirm before they sync, its quorum queues after.
#
# Environment: ROUNDS (2), RUN_SECONDS (15), RATE (5000), NEAR (15000), QUEUES
# (10000), ROWS ("1 2 3 n q 4"), RABBITMQ_URL (a RabbitMQ that runs already; otherwise
# scripts/rabbitmq.sh installs and starts one), OUT (a folder for the results,
# default bench/results-amqp), WORK (a folder on the device to measure, default
# under WAXWING_CACHE).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
rounds=${ROUNDS:-2}
seconds=${RUN_SECONDS:-15}
rate=${RATE:-5000}
near=${NEAR:-15000}
queues=${QUEUES:-10000}
rows=${ROWS:-1 2 3 n q 4}
out=${OUT:-$here/results-amqp}
work=${WORK:-${WAXWING_CACHE:-$HOME/.cache/waxwing}/compare-amqp}
waxwing=$root/bin/waxwing
export RABBITMQ_INSTANCE=bench RABBITMQ_OWNER=$$

die() { echo "compare-amqp: $*" >&2; exit 1; }

stop() {
  if [ -n "${waxwing_pid:-}" ]; then
    kill -TERM "$waxwing_pid" 2>/dev/null || true
    wait "$waxwing_pid" 2>/dev/null || true
  fi
  [ -z "${started_rabbitmq:-}" ] || "$root/scripts/rabbitmq.sh" stop || true
  rm -rf "$work"
}

start_waxwing() {
  "$waxwing" serve --data "$work/waxwing" --kafka "" --amqp 127.0.0.1:0 --http "" \
    --port-file "$work/waxwing.ports" >"$work/waxwing.log" 2>&1 &
  waxwing_pid=$!
  for _ in $(seq 200); do
    [ -s "$work/waxwing.ports" ] && break
    kill -0 "$waxwing_pid" 2>/dev/null || { cat "$work/waxwing.log" >&2; die "waxwing serve ended"; }
    sleep 0.05
  done
  waxwing_url=amqp://guest:guest@$(sed -n 's/.*"amqp": *"\([^"]*\)".*/\1/p' "$work/waxwing.ports")/
}

start_rabbitmq() {
  rabbitmq_url=${RABBITMQ_URL:-}
  [ -z "$rabbitmq_url" ] || return 0
  "$root/scripts/rabbitmq.sh" install
  started_rabbitmq=yes
  read -r rabbitmq_url < <("$root/scripts/rabbitmq.sh" start) || die "RabbitMQ did not start"
}

# bench FILE ARG ... measures and writes FILE.json.
bench() {
  local file=$1
  shift
  "$waxwing" bench amqp --url "$waxwing_url" --size 1024 --duration "${seconds}s" --timeout 60s --json "$@" \
    >"$out/$file.json" 2>>"$out/progress.log" || { tail -n 3 "$out/progress.log" >&2; die "$file failed; see $out/progress.log"; }
  sync
}

# row NAME ROUND ARG ... compares both brokers once.
row() {
  local name=$1 round=$2
  shift 2
  echo "round $round, row $name" >&2
  bench "$name.$round" --compare "$rabbitmq_url" "$@"
}

# field NAME FILE prints the values of a field of a result, in their order.
field() { sed -n 's/^ *"'"$1"'": \([0-9.]*\),*$/\1/p' "$2"; }

# median prints the middle one of the numbers on its input.
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# ratio ROW NAME prints the median over the rounds.
ratio() { for round in $(seq "$rounds"); do field "$2" "$out/$1.$round.json"; done | median; }

# report ROW GOALS prints the ratios of a row.
report() {
  local name
  echo "row $1: $2"
  for name in publishRate publishP50 publishP99 consumeRate endToEndP50 endToEndP99; do
    [ -z "$(field "$name" "$out/$1.1.json")" ] || printf '  %-12s %6.2f of RabbitMQ\n' "$name" "$(ratio "$1" "$name")"
  done
}

[ -x "$waxwing" ] || die "$waxwing is missing: run make build"
mkdir -p "$work" "$out"
rm -f "$out"/*.json "$out"/progress.log
trap stop EXIT
trap 'exit 130' INT TERM
start_waxwing
[ "$rows" = 4 ] || start_rabbitmq # the only row without it

goal="goals: rates from 3 up, p99 up to 0.33"
for round in $(seq "$rounds"); do
  for r in $rows; do
    case $r in
      1) row 1 "$round" --publishers 2 --inflight 1000 ;;
      2) row 2 "$round" --inflight 200 --consume ;;
      3) row 3 "$round" --inflight 1000 --consume --rate "$rate" ;;
      n) row n "$round" --inflight 1000 --consume --rate "$near" ;;
      q) row q "$round" --inflight 200 --consume --queue-type quorum ;;
      4)
        echo "round $round, row 4" >&2
        bench "4.one.$round" --publishers 2
        bench "4.many.$round" --publishers 2 --queues "$queues"
        ;;
      *) die "no such row: $r" ;;
    esac
  done
done

for r in $rows; do
  case $r in
    1) report 1 "1 KB, durable, confirmed, publish only; $goal" ;;
    2) report 2 "with a consumer; $goal" ;;
    3) report 3 "with a consumer, $rate messages a second; goal: p99 up to 0.33" ;;
    n) report n "with a consumer, $near messages a second; goal: p99 up to 0.33" ;;
    q) report q "with a consumer, quorum queues; $goal" ;;
    4)
      echo "row 4: $queues queues in turn against one; goal: from 0.5 up"
      for round in $(seq "$rounds"); do
        awk -v many="$(field messagesPerSecond "$out/4.many.$round.json")" -v one="$(field messagesPerSecond "$out/4.one.$round.json")" \
          'BEGIN { printf "  %d/s against %d/s: %.2f\n", many, one, many / one }'
      done
      ;;
  esac
done
