#!/usr/bin/env bash
# Installs what the conformance tests need, by the ordinary package managers
# as they are configured, and skips what is there already:
#
#   kcat, Node with npm, Python with venv, a JDK, Maven, a C compiler   (apt)
#   the packages of conformance/kafkajs/package-lock.json               (npm)
#   conformance/python/requirements.txt, into a venv                    (pip)
#   the class path of conformance/java/pom.xml                          (Maven)
#   the modules of go.mod and conformance/go.mod                        (Go)
#
# Everything but the apt packages lands in ${WAXWING_CACHE:-~/.cache/waxwing}.
# It asks nothing, and fails if anything cannot be installed.
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
  if ! have python3 || ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    echo python3 python3-venv
  fi
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

# once NAME FILE... -- CMD DIR... runs CMD to fill $cache/NAME unless it was
# filled from the same files before. A half-filled folder is started afresh.
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

fill_node() {
  cp "$root"/conformance/kafkajs/package.json "$root"/conformance/kafkajs/package-lock.json "$1"
  (cd "$1" && npm ci --no-audit --no-fund --loglevel=error >&2)
}

fill_python() {
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check -r "$root/conformance/python/requirements.txt" >&2
}

fill_java() {
  mvn -B -q -ntp -f "$root/conformance/java/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$1" >&2
}

fill_go() {
  command -v go >/dev/null || die "Go is missing; its version stands in go.mod"
  (cd "$root" && go mod download)
  (cd "$root/conformance" && go mod download)
}

install_apt
mkdir -p "$cache"
exec 9>"$cache/.install-lock"
flock 9
once node "$root"/conformance/kafkajs/package{,-lock}.json -- fill_node
once python "$root/conformance/python/requirements.txt" -- fill_python
once java "$root/conformance/java/pom.xml" -- fill_java
once gomod "$root"/{go.mod,go.sum} "$root"/conformance/{go.mod,go.sum} -- fill_go
say "all there"
