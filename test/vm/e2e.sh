# Runs in the virtual machine, under systemd: those of the ordinary tests whose subject is the kernel's, on cgroup v2. Each wait of theirs
# gets twenty times as long.
install -m 0755 docker /usr/local/bin/docker
mkdir -p .dhow/test-images
cp busybox.tar .dhow/test-images/
export DHOW_TEST_PATIENCE=20
exec ./bun.exe --no-env-file --config=/dev/null scripts/test.ts e2e/container/limits e2e/container/update e2e/container/lifecycle
