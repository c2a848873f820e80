#!/bin/sh
# Prints the path of Debian's registry server, which tests of logins talk to: the one on the PATH, else that of Debian's package, unpacked
# under .dhow/ without being installed, so that it never runs as a service.
set -eu
cd "$(dirname "$0")/.."
place="$PWD/.dhow/docker-registry"
program="$place/usr/bin/docker-registry"

command -v docker-registry && exit 0
if [ ! -x "$program" ]; then
  command -v apt-get >/dev/null 2>&1 || { echo "needs docker-registry, and finds no apt-get to fetch it" >&2; exit 1; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  apt-get -q -o APT::Sandbox::User=root download docker-registry </dev/null >&2
  mkdir -p "$place"
  dpkg-deb --fsys-tarfile ./*.deb | tar -x -C "$place" ./usr/bin/docker-registry
fi
echo "$program"
