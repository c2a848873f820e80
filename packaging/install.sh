#!/bin/sh
# Installs what `npm run build` made: the executable, the systemd unit and its socket, the manual, and the
# completions of the shells. Starts nothing.
#
#   sudo sh packaging/install.sh                        into /usr/local
#   DESTDIR=/tmp/image PREFIX=/usr sh packaging/install.sh     for a package
set -eu
cd "$(dirname "$0")/.."
prefix="${PREFIX:-/usr/local}"
destination="${DESTDIR:-}"
units="$destination/usr/lib/systemd/system"

[ -x dist/dhow ] || { echo "install.sh: no dist/dhow here, make it with: npm run build" >&2; exit 1; }

install -D -m 0755 dist/dhow "$destination$prefix/bin/dhow"
install -D -m 0644 packaging/dhow.socket "$units/dhow.socket"
mkdir -p "$units"
sed "s|/usr/local/bin/dhow|$prefix/bin/dhow|" packaging/dhow.service >"$units/dhow.service"
install -D -m 0644 packaging/sysusers.conf "$destination/usr/lib/sysusers.d/dhow.conf"

share="$destination$prefix/share"
for page in dist/man/man1/*.1; do install -D -m 0644 "$page" "$share/man/man1/${page##*/}"; done
install -D -m 0644 dist/completions/bash/dhow "$share/bash-completion/completions/dhow"
install -D -m 0644 dist/completions/zsh/_dhow "$share/zsh/site-functions/_dhow"
install -D -m 0644 dist/completions/fish/dhow.fish "$share/fish/vendor_completions.d/dhow.fish"

# Into a directory: that package's own scripts do the rest.
[ -z "$destination" ] || exit 0
if ! getent group docker >/dev/null; then groupadd --system docker; fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
echo "installed $prefix/bin/dhow; it needs the packages crun and nftables"
echo "start it with: systemctl enable --now dhow.socket"
