#!/bin/sh
# Inside the virtual machine: unpacks the payload (a tar archive on the second disk), runs its `script` with the output on the second
# serial port, says how it ended, and turns the machine off. A service of systemd, or (init=/usr/local/sbin/vm-guest) the first process.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
if [ $$ = 1 ]; then
  mount -t proc proc /proc
  mount -t sysfs sysfs /sys
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mount -t securityfs securityfs /sys/kernel/security
  mount -t tmpfs tmpfs /run
  mkdir -p /dev/pts /dev/shm
  mount -t devpts devpts /dev/pts
  mount -t tmpfs tmpfs /dev/shm
  ip link set lo up
fi
stty -F /dev/ttyS1 raw -echo 2>/dev/null
mkdir -p /run/payload
mount -t tmpfs -o size=1g payload /run/payload
tar -x -f /dev/vdb -C /run/payload
cd /run/payload || exit 1
bash ./script >/dev/ttyS1 2>&1 </dev/null
printf '\nexit code %d\n' $? >/dev/ttyS1
sync
# The word to the kernel itself: a shutdown in order takes longer than most scripts.
sleep 0.2
echo o >/proc/sysrq-trigger
sleep 60
