#!/bin/sh
# Prints the directory of Docker's own command line: the one on the PATH, else the one of Debian's package, unpacked under .dhow/
# without being installed, so that the daemon in that package never runs.
set -eu
cd "$(dirname "$0")/.."
place="$PWD/.dhow/docker-cli"

found=$(command -v docker || true)
if [ -n "$found" ]; then
  case "$(readlink -f "$found")" in
    */dhow) ;; # ours under docker's name
    *)
      dirname "$found"
      exit 0
      ;;
  esac
fi

if [ ! -x "$place/usr/bin/docker" ]; then
  command -v apt-get >/dev/null 2>&1 || { echo "needs the docker command line, and finds no apt-get to fetch it" >&2; exit 1; }
  echo "fetching the docker command line from Debian's package" >&2
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  # From Debian 13 on, the command line is a package of its own.
  package=docker.io
  if apt-cache show docker-cli >/dev/null 2>&1; then package=docker-cli; fi
  apt-get -q -o APT::Sandbox::User=root download "$package" </dev/null >&2
  mkdir -p "$place"
  dpkg-deb --fsys-tarfile ./*.deb | tar -x -C "$place" ./usr/bin/docker
fi
echo "$place/usr/bin"
