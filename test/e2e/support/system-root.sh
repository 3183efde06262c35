#!/bin/sh
# Makes, inside a machine of the lab, a root file system of its own, and runs the real systemd there as process 1 of a
# process namespace. All that is written lands in memory: the real machine's files lie beneath it and cannot be reached.
# The machine's network, /run and dockerd are shared with it. Arguments: the machine's control group, and a folder that
# is seen in there wherever it lies, to read.
set -eu
group=$1 project=$2

case "$(readlink /proc/self/ns/mnt)" in
"$(readlink /proc/1/ns/mnt)") ;;
*) echo 'not in the mount namespace of process 1' >&2 && exit 1 ;;
esac

mount -t tmpfs -o mode=755 none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work none /mnt/root
cd /mnt/root

# No unit of the real machine: only what a test installs.
for folder in lib/systemd/system etc/systemd/system; do mount -t tmpfs -o mode=755 none "$folder"; done
mount -t tmpfs -o mode=1777 none tmp
mount -t tmpfs -o mode=1777 none var/tmp
mount -t tmpfs -o mode=755 none opt
mkdir -p ".$project"
mount --bind "$project" ".$project"
mount -o remount,bind,ro ".$project"
# The mounts of network sandboxes that dockerd makes out there are seen in here.
mount --make-shared /run
mount --bind /run run
for file in etc/hosts etc/resolv.conf; do mount --bind "/$file" "$file"; done

# Packages start their services here.
rm -f usr/sbin/policy-rc.d

mount -t tmpfs -o mode=755 none dev
mkdir dev/net dev/shm dev/pts
for node in null zero full random urandom tty net/tun; do
  touch "dev/$node"
  mount --bind "/dev/$node" "dev/$node"
done

cat >lib/systemd/system/installed.target <<UNIT
[Unit]
Description=What the test installs
DefaultDependencies=no
UNIT
for target in sysinit basic shutdown network network-online multi-user; do
  printf '[Unit]\nDefaultDependencies=no\n' >"lib/systemd/system/$target.target"
done

# There is no journal.
mkdir etc/systemd/system/service.d
printf '[Service]\nStandardOutput=append:/run/services.log\nStandardError=inherit\n' >etc/systemd/system/service.d/log.conf

# Beside the groups of dockerd: one that has groups may have no process of its own.
mkdir -p "/sys/fs/cgroup/$group/systemd"
echo $$ >"/sys/fs/cgroup/$group/systemd/cgroup.procs"
exec unshare --mount --pid --fork --kill-child --cgroup --propagation slave sh -eu -c '
  mount -t proc proc /mnt/root/proc
  # Settings of the kernel that are not of this network stay as they are.
  mount --bind /mnt/root/proc/sys /mnt/root/proc/sys
  mount -o remount,bind,ro /mnt/root/proc/sys
  mount --bind /proc/sys/net /mnt/root/proc/sys/net
  mount -t sysfs -o ro none /mnt/root/sys
  mount -t cgroup2 none /mnt/root/sys/fs/cgroup
  # systemd must not get further than this.
  test "$(stat -f -c %T /mnt/root)" = overlayfs
  exec env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    chroot /mnt/root /lib/systemd/systemd --system --unit=installed.target --log-target=console --show-status=no
'
