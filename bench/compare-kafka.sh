#!/usr/bin/env bash
# Waxwing and Apache Kafka in turn, under the same client with the same
# settings: A B B A …, and the device alone in between. Prints medians, ratios
# and the goals, and writes every run and the summary as JSON.
#
#   row 1   1 KB records, acks=all, as fast as possible, one partition and eight
#   row 2   the same at a fixed 20,000 records a second: latency
#   row 3   10,000 partitions round-robin against one, same bytes per request
#
# Kafka runs with its default settings, so it does not fsync, but deletes files
# after a second, not a minute. Waxwing syncs before it answers. After each run the
# page cache is written out, so that no broker pays for what the one before it left
# unwritten.
#
# Environment: ROUNDS (3), RUN_SECONDS (15), RATE (20000), PARTITIONS (10000),
# ROWS ("1 8p 2 3"), KAFKA_ROW3 (0; 1 gives Kafka the 10,000 partitions too),
# OUT (a folder for the results, default bench/results),
# WORK (a folder on the device to measure, default under WAXWING_CACHE).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
rounds=${ROUNDS:-3}
seconds=${RUN_SECONDS:-15}
rate=${RATE:-20000}
partitions=${PARTITIONS:-10000}
rows=${ROWS:-1 8p 2 3}
out=${OUT:-$here/results}
work=${WORK:-${WAXWING_CACHE:-$HOME/.cache/waxwing}/compare}
waxwing=$root/bin/waxwing
settled=1000 # MB that both brokers take with nothing in them, at most

export KAFKA_PEER_DIR=$work/kafka

die() { echo "compare-kafka: $*" >&2; exit 1; }

stop() {
  if [ -n "${waxwing_pid:-}" ]; then
    kill -TERM "$waxwing_pid" 2>/dev/null || true
    wait "$waxwing_pid" 2>/dev/null || true
  fi
  "$here/kafka-peer.sh" stop || true
  rm -rf "$work"
}

start_waxwing() {
  "$waxwing" serve --data "$work/waxwing" --kafka 127.0.0.1:0 --amqp "" --http "" \
    --port-file "$work/waxwing.ports" >"$work/waxwing.log" 2>&1 &
  waxwing_pid=$!
  for _ in $(seq 200); do
    [ -s "$work/waxwing.ports" ] && break
    kill -0 "$waxwing_pid" 2>/dev/null || { cat "$work/waxwing.log" >&2; die "waxwing serve ended"; }
    sleep 0.05
  done
  waxwing_address=$(sed -n 's/.*"kafka": *"\([^"]*\)".*/\1/p' "$work/waxwing.ports")
  [ -n "$waxwing_address" ] || die "waxwing serve did not say where it listens"
}

# bench ROW BROKER ROUND ARG ... measures one broker once.
bench() {
  local row=$1 broker=$2 round=$3 address
  shift 3
  address=$waxwing_address
  [ "$broker" = kafka ] && address=$kafka_address
  echo "round $round, row $row, $broker" >&2
  "$waxwing" bench kafka -b "$address" --json --acks all --size 1024 --replication-factor 1 \
    --timeout 60s "$@" >"$out/$row.$broker.$round.json" 2>>"$out/progress.log"
  settle
}

# both ROW ROUND ARG ... measures Waxwing and Kafka, every other round Kafka first.
both() {
  local row=$1 round=$2 order="waxwing kafka"
  shift 2
  [ $((round % 2)) = 1 ] || order="kafka waxwing"
  for broker in $order; do bench "$row" "$broker" "$round" "$@"; done
}

# settle writes out what the page cache holds, and waits until what was deleted
# has been given back, by Waxwing after a checkpoint: no broker is to pay for what
# the other one does later.
settle() {
  sync
  for _ in $(seq 60); do
    sleep 1
    [ -z "$settled" ] || [ "$(du -sm "$work" | cut -f1)" -lt "$settled" ] && break
  done
  sync
  sleep 1
}

# many_topics ADDRESS makes ten topics with all the partitions of row 3, one
# by one, since Kafka refuses more than 10,000 records of metadata at once, and
# waits until the broker has them.
many_topics() {
  local i there
  for i in $(seq 0 9); do
    "$waxwing" topic create -b "$1" "many-$i" --partitions $((partitions / 10)) --replication-factor 1 --timeout 60s >>"$out/progress.log"
  done
  for _ in $(seq 300); do
    there=$("$waxwing" topic list -b "$1" | awk -v n=$((partitions / 10)) '/^many-/ { gsub(",", "", $2); if ($2 == n) c++ } END { print c + 0 }')
    [ "$there" = 10 ] && { settle; return; }
    sleep 1
  done
  die "only $there of the 10 topics of row 3 are there"
}

# row3 ROUND BROKER measures one partition and many.
row3() {
  bench 3-one "$2" "$1" --duration "${seconds}s" --partitions 1 --request-bytes 1000000
  bench 3-many "$2" "$1" --duration "${seconds}s" --topic many --topics 10 --round-robin --request-bytes 1000000
}

[ -x "$waxwing" ] || die "$waxwing is missing: run make build"
mkdir -p "$work" "$out"
rm -f "$out"/*.json "$out"/progress.log
trap stop EXIT
trap 'exit 130' INT TERM
(cd "$root" && go build -buildvcs=false -o "$work/fdatasync" ./bench/fdatasync)
# Kafka would delete files a minute later, in the midst of other runs.
kafka_address=$("$here/kafka-peer.sh" start log.segment.delete.delay.ms=1000)
start_waxwing

# One short run each that does not count: the JVM compiles, files are made.
bench warm waxwing 0 --duration 5s
bench warm kafka 0 --duration 10s

# Row by row, so that the latencies of row 2 are not those of a device that still
# discards what the faster rows have left: that stops the whole machine at times.
for row in $rows; do
  [ "$row" != 2 ] || sleep 30
  for round in $(seq "$rounds"); do
    [ -e "$out/fdatasync.device.$round.json" ] ||
      "$work/fdatasync" -dir "$work" -bytes 65536 -seconds 3 >"$out/fdatasync.device.$round.json"
    case $row in
      1) both 1 "$round" --duration "${seconds}s" ;;
      8p) both 8p "$round" --duration "${seconds}s" --partitions 8 ;;
      2) both 2 "$round" --duration "${seconds}s" --rate "$rate" ;;
      3) ;;
      *) die "no such row: $row" ;;
    esac
  done
done

# Last, so that ten thousand partitions burden no other row.
settled= # from here on topics stay
if [[ " $rows " == *" 3 "* ]]; then
  many_topics "$waxwing_address"
  [ "${KAFKA_ROW3:-0}" = 0 ] || many_topics "$kafka_address"
  for round in $(seq "$rounds"); do
    row3 "$round" waxwing
    [ "${KAFKA_ROW3:-0}" = 0 ] || row3 "$round" kafka
  done
fi

(cd "$root" && go run -buildvcs=false ./bench/compare "$out")
