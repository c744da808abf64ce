#!/usr/bin/env bash
# Installs what the conformance tests need, by the ordinary package managers
# as they are configured, and skips what is there already:
#
#   kcat, Node with npm, Python with venv, a JDK, Maven, a C compiler,
#   PostgreSQL and MariaDB, without their services                     (apt)
#   package-lock.json of conformance/kafkajs, conformance/amqpnode and  (npm)
#   seal/internal/peer
#   requirements.txt of conformance/python and conformance/amqppython,  (pip)
#   each into a venv
#   the class paths of pom.xml of conformance/java and amqpjava         (Maven)
#   the modules of go.mod, conformance/go.mod and those below it        (Go)
#   RabbitMQ, to compare with: scripts/rabbitmq.sh install              (debootstrap, apt)
#
# The apt packages and RabbitMQ need root, or sudo. RabbitMQ comes last, since
# it also needs a mirror of Debian. conformance/amqpdiff installs it by itself if
# it is not there, which then counts towards that test's time.
#
# Everything but the apt packages lands in ${WAXWING_CACHE:-~/.cache/waxwing}.
# It asks nothing, and fails if anything cannot be installed.
#
#   scripts/install-tools.sh peers    only what seal's tests need, with the Node that
#                                     is there; prints the folder it lies in
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${WAXWING_CACHE:-$HOME/.cache/waxwing}

die() { echo "install-tools: $*" >&2; exit 1; }
say() { echo "install-tools: $*" >&2; }

# missing_apt prints the Debian packages of the tools that are not there.
missing_apt() {
  have() { command -v "$1" >/dev/null 2>&1; }
  have kcat || echo kcat
  have node || echo nodejs
  have npm || echo npm
  have javac || echo default-jdk-headless
  have mvn || echo maven
  have cc || echo gcc libc6-dev
  have sha256sum || echo coreutils
  have flock || echo util-linux
  have postgres || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || echo postgresql
  have mariadbd || [ -x /usr/sbin/mariadbd ] || echo mariadb-server-core
  have my_print_defaults || echo mariadb-client-core
  if ! have python3 || ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    echo python3 python3-venv
  fi
}

# install_rabbitmq fills the chroot of the peer.
install_rabbitmq() {
  local sudo=
  if [ "$(id -u)" != 0 ]; then
    [ -z "$(find "$cache/rabbitmq" -maxdepth 1 -name '.installed-*' 2>/dev/null)" ] || return 0
    command -v sudo >/dev/null || die "run as root: RabbitMQ is installed into a chroot"
    sudo=sudo
  fi
  $sudo env WAXWING_CACHE="$cache" ${WAXWING_DEBIAN_MIRROR:+WAXWING_DEBIAN_MIRROR="$WAXWING_DEBIAN_MIRROR"} \
    "$root/scripts/rabbitmq.sh" install
}

install_apt() {
  local packages sudo=
  packages=$(missing_apt | tr '\n' ' ')
  [ -n "${packages// /}" ] || return 0
  command -v apt-get >/dev/null || die "install these by hand, there is no apt-get here: $packages"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "run as root, or install these by hand: $packages"
    sudo=sudo
  fi
  say "apt: $packages"
  $sudo apt-get -qq update
  # shellcheck disable=SC2086  # a list of words
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $packages >&2
  packages=$(missing_apt | tr '\n' ' ')
  [ -z "${packages// /}" ] || die "apt-get installed them, yet these are still missing: $packages"
}

# once NAME FILE... -- CMD ARG... runs CMD ARG... $cache/NAME to fill that folder
# unless it was filled from the same files before. A half-filled one is started
# afresh.
once() {
  local name=$1 sum
  local files=()
  shift
  while [ "$1" != -- ]; do files+=("$1"); shift; done
  shift
  sum=$(cat "${files[@]}" | sha256sum | cut -c1-64)
  [ "$(cat "$cache/$name/.made-from" 2>/dev/null)" = "$sum" ] && return 0
  say "$name"
  rm -rf "${cache:?}/$name"
  mkdir -p "$cache/$name"
  "$@" "$cache/$name"
  echo "$sum" >"$cache/$name/.made-from"
}

# fill_node, fill_python and fill_java take a suite of conformance/ and a folder.
fill_node() {
  cp "$root/conformance/$1"/package{,-lock}.json "$2"
  (cd "$2" && npm ci --no-audit --no-fund --loglevel=error >&2)
}

# fill_peers runs no script of a package: the binaries are in them.
fill_peers() {
  cp "$peers"/package{,-lock}.json "$1"
  (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
}

fill_python() {
  python3 -m venv "$2"
  "$2/bin/pip" install --quiet --disable-pip-version-check -r "$root/conformance/$1/requirements.txt" >&2
}

fill_java() {
  mvn -B -q -ntp -f "$root/conformance/$1/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$2" >&2
}

fill_go() {
  command -v go >/dev/null || die "Go is missing; its version stands in go.mod"
  (cd "$root" && go mod download)
  (cd "$root/conformance" && go mod download)
  (cd "$root/conformance/amqpgo/watermill" && go mod download)
}

peers=$root/seal/internal/peer

# install_peers has a lock of its own, so that a test need not wait for all the rest.
install_peers() {
  (
    exec 8>"$cache/.peers-lock"
    flock 8
    once peers "$peers"/package{,-lock}.json -- fill_peers
  )
}

if [ "${1:-}" = peers ]; then
  for tool in node npm; do
    command -v "$tool" >/dev/null || die "$tool is missing; run make tools"
  done
  mkdir -p "$cache"
  install_peers
  echo "$cache/peers"
  exit
fi

install_apt
mkdir -p "$cache"
exec 9>"$cache/.install-lock"
flock 9
suites=$root/conformance
once node "$suites"/kafkajs/package{,-lock}.json -- fill_node kafkajs
once amqpnode "$suites"/amqpnode/package{,-lock}.json -- fill_node amqpnode
install_peers
once python "$suites/python/requirements.txt" -- fill_python python
once amqppython "$suites/amqppython/requirements.txt" -- fill_python amqppython
once java "$suites/java/pom.xml" -- fill_java java
once amqpjava "$suites/amqpjava/pom.xml" -- fill_java amqpjava
once gomod "$root"/go.{mod,sum} "$suites"/go.{mod,sum} "$suites"/amqpgo/watermill/go.{mod,sum} -- fill_go
install_rabbitmq
say "all there"
