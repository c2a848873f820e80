# Runs in the virtual machine, under systemd: those of the ordinary tests whose subject is the kernel's, on cgroup v2. Each wait of theirs
# gets twenty times as long.
. ./prelude.sh
install -m 0755 docker /usr/local/bin/docker
mkdir -p .dhow/test-images
cp busybox.tar .dhow/test-images/
export DHOW_TEST_PATIENCE=20
tests() { ./bun.exe --no-env-file --config=/dev/null test --only-failures --timeout=1200000 "$@" 2>&1; }
found=$(
  tests ./test/e2e/container/limits.test.ts ./test/e2e/container/update.test.ts
  tests ./src/linux/netlink/link-kinds.test.ts ./src/network/conditions.test.ts -t '(in the kernel|delay, jitter)'
  tests ./test/e2e/network/lan.test.ts ./test/e2e/container/lifecycle.test.ts -t '^(ipvlan|a VLAN|pause|restart policies|health|top|stats)'
)
# count WORD: the sum of bun's counts, one for each of its runs
count() { printf '%s\n' "$found" | sed -n "s/^ *\([0-9][0-9]*\) $1\$/\1/p" | awk '{ sum += $1 } END { print sum + 0 }'; }
passed=$(count pass) failed=$(count fail)
runs=$(printf '%s\n' "$found" | grep -c '^Ran [0-9]* test')
if [ "$runs" != 3 ]; then failed=$((failed + 1)); fi
finish printf '%s\n' "$found"
