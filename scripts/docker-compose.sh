#!/bin/sh
# Prints the path of a docker compose v2 or later: the plug-in that docker has, else the one that was built under .dhow/.
#
#   scripts/docker-compose.sh --build    builds it with the go that is installed: some ten minutes, once
set -eu
cd "$(dirname "$0")/.."
version=v2.40.3
place="$PWD/.dhow/docker-compose"

for dir in "${DOCKER_CONFIG:-${HOME:-/root}/.docker}" /usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker /usr/libexec/docker; do
  if [ -x "$dir/cli-plugins/docker-compose" ]; then
    echo "$dir/cli-plugins/docker-compose"
    exit 0
  fi
done

if [ ! -x "$place/docker-compose" ]; then
  [ "${1:-}" = --build ] || { echo "finds no docker compose; scripts/docker-compose.sh --build makes one" >&2; exit 1; }
  command -v go >/dev/null 2>&1 || { echo "finds no go to build docker compose with" >&2; exit 1; }
  work=$(mktemp -d)
  trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
  # not `go install …@version`: the module replaces others, which that refuses
  source=$(cd "$work" && go mod download -json "github.com/docker/compose/v2@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  cp -r "$source" "$work/source"
  chmod -R u+w "$work/source"
  mkdir -p "$place"
  (cd "$work/source" && go build -buildvcs=false -ldflags "-X github.com/docker/compose/v2/internal.Version=$version" \
    -o "$place/docker-compose.part" ./cmd >&2)
  mv "$place/docker-compose.part" "$place/docker-compose"
fi
echo "$place/docker-compose"
