#!/bin/sh
# What `npm run build` runs after the set-up: finds the Bun that works on this machine and hands over to scripts/build.ts.
set -eu
cd "$(dirname "$0")/.."
read -r bun <.dhow/installed
exec "./$bun" --no-env-file --config=/dev/null scripts/build.ts "$@"
