# Boots systemd on a throw-away copy of this machine's files: what is written goes to $1/upper.
# Run by unshare(1), in namespaces of its own for mounts, processes, network, control groups and host name.
set -eu
workshop=$1
mkdir -p "$workshop/upper" "$workshop/work" "$workshop/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$workshop/upper,workdir=$workshop/work" "$workshop/root"
cd "$workshop/root"
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount --rbind /dev dev
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
# Of all that is enabled on this machine, nothing is started but the journal.
mkdir -p etc/systemd/system
rm -f etc/machine-id
systemd-machine-id-setup --root=. >/dev/null 2>&1
cat >etc/systemd/system/machine.target <<UNIT
[Unit]
Description=A machine for tests
Requires=systemd-journald.service
After=systemd-journald.service
UNIT
mkdir put_old
pivot_root . put_old
umount -l put_old
rmdir put_old
# Only what systemd takes for a container leaves clock, console and kernel alone.
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=machine.target --show-status=no --log-target=journal
