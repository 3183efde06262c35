#!/bin/sh
# Process 1 of a lab machine, in its own network, mount, process and hostname namespaces.
# Arguments: the machine's folder, its host name.
set -eu
dir=$1
name=$2

# A /run of its own: docker's sockets, the plugin folder and the xtables lock are at their usual paths and shared with no one.
mount --bind "$dir/run" /run
# Version 2 of the control groups, whatever the machine itself mounts.
mount -t cgroup2 none /sys/fs/cgroup
for file in resolv.conf hosts; do
  if [ -e "/etc/$file" ]; then mount --bind "$dir/$file" "/etc/$file"; fi
done
# As systemd leaves it: a container that was given a folder of the host sees what the host mounts in it later.
mount --make-rshared /
hostname "$name"
ip link set lo up
touch "$dir/ready"

# Nothing else to do but to reap orphans (containerd's shims), which "wait" does while its one child sleeps.
sleep 2147483647 &
wait
