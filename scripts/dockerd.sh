#!/bin/sh
# Runs Debian 12's dockerd, the engine that ours is compared with: the installed one, else the one of Debian's packages, unpacked under
# .dhow/ without being installed, so that nothing starts by itself. iptables and runc have to be there.
#
#   scripts/dockerd.sh --version    fetches what is missing
set -eu
cd "$(dirname "$0")/.."
release=20.10.
place="$PWD/.dhow/dockerd"

is_release() { case "$("$1" --version 2>/dev/null)" in *"version $release"*) ;; *) return 1 ;; esac; }

for installed in dockerd /usr/sbin/dockerd; do
  if is_release "$installed" && command -v containerd >/dev/null 2>&1; then exec "$installed" "$@"; fi
done

if [ ! -x "$place/usr/sbin/dockerd" ]; then
  command -v apt-get >/dev/null 2>&1 || { echo "finds neither dockerd ${release}x nor apt-get to fetch it" >&2; exit 1; }
  echo "fetching dockerd from Debian's packages" >&2
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && apt-get -q -o APT::Sandbox::User=root download docker.io containerd libdevmapper1.02.1 </dev/null >&2)
  mkdir "$work/root"
  for package in "$work"/*.deb; do dpkg-deb --fsys-tarfile "$package" | tar -x -C "$work/root"; done
  # What --init puts into a container: the set-up installs it.
  ln -sf "$(command -v tini-static || echo /usr/bin/tini-static)" "$work/root/usr/bin/docker-init"
  mkdir -p "${place%/*}"
  rm -rf "$place"
  mv "$work/root" "$place"
  rm -rf "$work"
  trap - EXIT
fi

libraries=$(dirname "$(find "$place" -name 'libdevmapper.so.*' | head -n 1)")
PATH="$place/usr/sbin:$place/usr/bin:$PATH"
LD_LIBRARY_PATH="$libraries"
export PATH LD_LIBRARY_PATH
is_release dockerd || { echo "the dockerd of this system's packages is not ${release}x" >&2; exit 1; }
exec dockerd "$@"
