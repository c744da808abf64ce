#!/usr/bin/env bash
# A real RabbitMQ 4.0 of Debian trixie to compare with, without containers:
#
#   rabbitmq.sh install    debootstrap and apt-get into the cache, if not there
#   rabbitmq.sh start      start it on free ports, with empty data; print its URL
#   rabbitmq.sh ctl ARGS   rabbitmqctl ARGS
#   rabbitmq.sh stop       end it and all that it started; the data goes too
#
# Everything is in ${WAXWING_CACHE:-~/.cache/waxwing}/rabbitmq. Packages come
# from the mirror that apt is configured with, which must be one of Debian, or
# from $WAXWING_DEBIAN_MIRROR. It needs root. The server, its epmd and what else
# it starts live in namespaces of their own for processes and mounts, so that
# nothing is left behind when it ends.
#
#   RABBITMQ_INSTANCE  name of the instance, by default main: several can run
#   RABBITMQ_OWNER     stop the instance when the process with this id ends
#   RABBITMQ_MANAGEMENT  not empty: its management plugin, whose URL start prints
#                        as a second line
set -euo pipefail

suite=trixie
me=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/$(basename "${BASH_SOURCE[0]}")
cache=${WAXWING_CACHE:-$HOME/.cache/waxwing}/rabbitmq
root=$cache/root
name=${RABBITMQ_INSTANCE:-main}
home=/srv/$name # of the instance, within $root
state=$root$home

die() { echo "rabbitmq: $*" >&2; exit 1; }
say() { echo "rabbitmq: $*" >&2; }

# mirror prints the URL of the Debian archive that apt fetches from.
mirror() {
  local url=${WAXWING_DEBIAN_MIRROR:-}
  [ -n "$url" ] || url=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)' |
    awk -F '|' '$1 == "Debian" && $2 == "Debian" && $3 == "main" { print $4; exit }')
  [ -n "$url" ] || die "apt knows no mirror of Debian: set WAXWING_DEBIAN_MIRROR"
  echo "$url"
}

# apart runs a command in new namespaces, where it can see and mount what it
# likes. All that it starts ends with it, and it ends with its parent.
apart() { unshare --mount --pid --fork --kill-child --mount-proc -- "$@"; }

install() {
  mkdir -p "$cache"
  exec 9>"$cache/.install-lock"
  flock 9
  [ -e "$cache/.installed-$suite" ] && return 0
  [ "$(id -u)" = 0 ] || die "run as root: a chroot is to be filled"
  local missing=
  command -v debootstrap >/dev/null || missing+=" debootstrap"
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=" debian-archive-keyring"
  if [ -n "$missing" ]; then
    apt-get -qq update
    # shellcheck disable=SC2086  # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $missing >&2
  fi
  local from
  from=$(mirror)
  rm -rf "$root"
  say "debootstrap $suite"
  debootstrap --variant=minbase "$suite" "$root" "$from" >"$cache/install.log" 2>&1 || { tail -20 "$cache/install.log" >&2; die "debootstrap failed"; }
  say "apt-get install rabbitmq-server"
  apart "$me" _fill "$root" >>"$cache/install.log" 2>&1 || { tail -20 "$cache/install.log" >&2; die "apt-get failed in the chroot"; }
  touch "$cache/.installed-$suite"
}

# fill installs the server in the chroot $1, without starting it.
fill() {
  mount -t proc proc "$1/proc"
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
  chmod +x "$1/usr/sbin/policy-rc.d"
  printf '127.0.0.1 localhost\n' >"$1/etc/hosts"
  chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends rabbitmq-server
  rm -f "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/*_*
}

# free_port prints a port on which nothing listens.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# started prints when the process $1 started, in ticks since boot: with its id
# that names it for good.
started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# running prints the id of the instance's first process, if it is there.
running() {
  local pid at
  read -r pid at 2>/dev/null <"$state/pid" && [ "$(started "$pid")" = "$at" ] && echo "$pid"
}

# configure writes the settings of an instance: two schedulers that do not
# spin, 2 GB of memory before publishers have to wait.
configure() {
  local amqp=$1 http=$2
  mkdir -p "$state"/{data,log,home}
  cat >"$state/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$amqp
vm_memory_high_watermark.absolute = 2GB
disk_free_limit.absolute = 100MB
log.file.level = warning
CONF
  echo '[].' >"$state/plugins"
  if [ -n "$http" ]; then
    printf 'management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = %s\n' "$http" >>"$state/rabbitmq.conf"
    echo '[rabbitmq_management].' >"$state/plugins"
  fi
  cat >"$state/env" <<ENV
export HOME=$home/home PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
export RABBITMQ_NODENAME=$name@localhost RABBITMQ_DIST_PORT=$(free_port)
export ERL_EPMD_PORT=$(free_port) ERL_EPMD_ADDRESS=127.0.0.1
export RABBITMQ_MNESIA_BASE=$home/data RABBITMQ_LOG_BASE=$home/log
export RABBITMQ_CONFIG_FILE=$home/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=$home/plugins
export RABBITMQ_CONF_ENV_FILE=/dev/null
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none'
ENV
}

start() {
  [ -e "$cache/.installed-$suite" ] || die "not there: run $me install"
  [ -z "$(running)" ] || die "$name runs already"
  rm -rf "$state"
  local amqp http='' last
  amqp=$(free_port)
  last=$amqp
  if [ -n "${RABBITMQ_MANAGEMENT:-}" ]; then
    while [ "$last" = "$amqp" ]; do last=$(free_port); done
    http=$last
  fi
  configure "$amqp" "$http"
  setsid "$me" _apart </dev/null >"$state/console" 2>&1 9>&- &
  local tries
  for ((tries = 0; tries < 900; tries++)); do
    sleep 0.1
    (exec 3<>"/dev/tcp/127.0.0.1/$amqp" 4<>"/dev/tcp/127.0.0.1/$last") 2>/dev/null && break
    [ "$tries" -lt 20 ] || [ -n "$(running)" ] || break
  done
  if ! (exec 3<>"/dev/tcp/127.0.0.1/$amqp" 4<>"/dev/tcp/127.0.0.1/$last") 2>/dev/null; then
    tail -30 "$state/console" >&2
    stop
    die "it did not start"
  fi
  if [ -n "${RABBITMQ_OWNER:-}" ]; then
    setsid "$me" _watch "$RABBITMQ_OWNER" </dev/null >/dev/null 2>&1 9>&- &
  fi
  echo "amqp://guest:guest@127.0.0.1:$amqp/"
  [ -z "$http" ] || echo "http://127.0.0.1:$http"
}

# serve is the first process of the instance.
serve() {
  mount -t proc proc "$root/proc"
  exec chroot "$root" sh -c ". $home/env; exec /usr/lib/rabbitmq/bin/rabbitmq-server"
}

# in_background starts the instance and says which its first process is.
in_background() {
  apart "$me" _serve &
  local parent=$! child=
  while [ -z "$child" ]; do
    read -r child _ <"/proc/$parent/task/$parent/children" || [ -n "$child" ] || sleep 0.02
  done
  echo "$child $(started "$child")" >"$state/pid"
  wait "$parent"
}

stop() {
  local pid
  pid=$(running) || true
  if [ -n "$pid" ]; then
    kill -TERM "$pid"
    local tries
    for ((tries = 0; tries < 30; tries++)); do
      [ -n "$(running)" ] || break
      sleep 0.1
    done
    [ -z "$(running)" ] || kill -KILL "$pid"
    while [ -n "$(running)" ]; do sleep 0.05; done
  fi
  rm -rf "$state"
}

ctl() {
  local pid
  pid=$(running) || die "$name does not run"
  # shellcheck disable=SC2016  # the inner shell's arguments
  nsenter --target "$pid" --mount --pid chroot "$root" sh -c '. "$0/env"; exec /usr/lib/rabbitmq/bin/rabbitmqctl "$@"' "$home" "$@"
}

verb=${1:-}
shift || true
case $verb in
  install | start | stop | ctl) "$verb" "$@" ;;
  _fill) fill "$@" ;;
  _apart) in_background ;;
  _serve) serve ;;
  _watch) tail --pid="$1" -f /dev/null; stop ;;
  *) die "usage: rabbitmq.sh install | start | ctl ARGS | stop" ;;
esac
