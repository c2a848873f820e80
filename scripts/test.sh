#!/bin/sh
# What `npm test` runs after the set-up: gets what only the tests need, then hands over to scripts/test.ts.
#
#   npm test                     types, lint, every test file
#   npm test -- src/lib e2e      only the test files whose path contains one of these words
set -eu
cd "$(dirname "$0")/.."

[ "$(id -u)" = 0 ] || { echo "npm test: must be root, since facts of the kernel are tested on the kernel" >&2; exit 1; }

# A command that tests call, and the package that brings it.
needs="ip=iproute2 dig=bind9-dnsutils xz=xz-utils curl=curl skopeo=skopeo runc=runc setcap=libcap2-bin openssl=openssl iptables=iptables python3=python3 etcd=etcd-server"
missing=""
for need in $needs; do
  command -v "${need%%=*}" >/dev/null 2>&1 || missing="$missing ${need#*=}"
done
if [ -n "$missing" ] && command -v apt-get >/dev/null 2>&1; then
  echo "npm test: installing what tests call:$missing" >&2
  # shellcheck disable=SC2086 # a list of names
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing </dev/null >.dhow/test-setup.log 2>&1 ||
    tail -n 20 .dhow/test-setup.log >&2
fi

cli=$(sh scripts/docker-cli.sh)
PATH="$cli:$PATH"
export PATH

read -r bun <.dhow/installed
exec "./$bun" --no-env-file --config=/dev/null scripts/test.ts "$@"
