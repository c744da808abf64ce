#!/usr/bin/env bash
# One Apache Kafka node (KRaft, broker and controller in one process) from
# Maven's jars: the peer that Waxwing's speed and behaviour are compared with.
#
#   bench/kafka-peer.sh start [KEY=VALUE ...]   format, start, wait until ready, print HOST:PORT
#   bench/kafka-peer.sh stop                    stop it and delete its data
#   bench/kafka-peer.sh kill                    kill -9, data stays
#   bench/kafka-peer.sh restart                 start again on the data that is there
#   bench/kafka-peer.sh status                  print HOST:PORT, or fail
#   bench/kafka-peer.sh run CMD ...             start, run CMD with KAFKA_PEER=HOST:PORT, stop
#   bench/kafka-peer.sh jars                    fetch the jars and print the class path
#
# KEY=VALUE overrides broker settings; everything else is Kafka's default,
# apart from replication factors of 1 and no delay of a group's first
# rebalance. In particular Kafka does not fsync.
#
# Environment: WAXWING_CACHE (jars, default ~/.cache/waxwing), KAFKA_PEER_DIR
# (data, log, pid; default a folder under WAXWING_CACHE), KAFKA_HEAP (1g),
# KAFKA_PEER_OWNER (stop it when the process with this id ends).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${WAXWING_CACHE:-$HOME/.cache/waxwing}
dir=${KAFKA_PEER_DIR:-$cache/kafka-peer}
heap=${KAFKA_HEAP:-1g}

die() { echo "kafka-peer: $*" >&2; exit 1; }

# jars fetches the broker's jars once per content of the pom.
jars() {
  local sum out
  sum=$(sha256sum "$here/peer/pom.xml" | cut -c1-16)
  out=$cache/jars/peer-$sum
  if [ ! -e "$out/.complete" ]; then
    command -v mvn >/dev/null || die "mvn is missing: run make tools"
    mkdir -p "$out"
    mvn -B -q -ntp -f "$here/peer/pom.xml" dependency:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory="$out" >&2
    touch "$out/.complete"
  fi
  echo "$out/*"
}

# free_port prints a loopback port on which nobody listens now.
free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  die "no free port found"
}

alive() { [ -s "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; }

write_config() {
  local kafka controller
  kafka=$(free_port)
  controller=$(free_port)
  while [ "$controller" = "$kafka" ]; do controller=$(free_port); done
  cat >"$dir/server.properties" <<CONFIG
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$kafka,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$kafka,CONTROLLER://127.0.0.1:$controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
CONFIG
  for setting in "$@"; do echo "$setting" >>"$dir/server.properties"; done
  echo "127.0.0.1:$kafka" >"$dir/address"
}

# watch OWNER PID ends the broker, and deletes its data, when its owner has ended.
watch() {
  while kill -0 "$2"; do
    kill -0 "$1" || { kill -KILL "$2"; sleep 1; rm -rf "$dir"; }
    sleep 1
  done
}

launch() {
  local cp
  cp=$(jars)
  # The options of Kafka's own start script.
  setsid java -Xmx"$heap" -Xms"$heap" -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
    -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent \
    -XX:MaxInlineLevel=15 -Djava.awt.headless=true \
    -Dlog4j2.configurationFile="$here/peer/log4j2.yaml" \
    -cp "$cp" kafka.Kafka "$dir/server.properties" >>"$dir/log" 2>&1 </dev/null &
  echo $! >"$dir/pid"
  if [ -n "${KAFKA_PEER_OWNER:-}" ]; then
    setsid "$0" _watch "$KAFKA_PEER_OWNER" "$(cat "$dir/pid")" >/dev/null 2>&1 </dev/null &
  fi
  for _ in $(seq 600); do
    alive || { tail -n 30 "$dir/log" >&2; die "the broker exited; its log is above"; }
    if grep -q 'Kafka Server started' "$dir/log"; then
      cat "$dir/address"
      return
    fi
    sleep 0.1
  done
  die "not ready after 60 s; see $dir/log"
}

start() {
  alive && die "already running at $(cat "$dir/address")"
  local cp
  cp=$(jars)
  rm -rf "$dir"
  mkdir -p "$dir"
  write_config "$@"
  java -cp "$cp" -Dlog4j2.configurationFile="$here/peer/log4j2.yaml" kafka.tools.StorageTool \
    format --standalone -t "$(java -cp "$cp" kafka.tools.StorageTool random-uuid)" \
    -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
    { cat "$dir/format.log" >&2; die "formatting failed"; }
  launch
}

# end SIGNAL sends it and waits 10 s for the process to be gone.
end() {
  kill "-$1" "$(cat "$dir/pid")" 2>/dev/null || true
  for _ in $(seq 100); do
    alive || return 0
    sleep 0.1
  done
  return 1
}

stop() {
  if alive; then
    end TERM || end KILL || die "it does not end"
  fi
  rm -rf "$dir"
}

case ${1:-} in
  start) shift; start "$@" ;;
  stop) stop ;;
  kill) alive || die "not running"; end KILL || die "it does not end" ;;
  restart) alive && die "already running"; : >"$dir/log"; launch ;;
  status) alive || die "not running"; cat "$dir/address" ;;
  run)
    shift
    trap stop EXIT
    KAFKA_PEER=$(start)
    export KAFKA_PEER
    "$@"
    ;;
  jars) jars ;;
  _watch) watch "$2" "$3" ;;
  *) sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
