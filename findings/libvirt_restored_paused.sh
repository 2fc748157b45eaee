#!/usr/bin/env bash
# Guess:     a guest that virsh restore --paused has brought back is told as paused for that reason: "user", as after virsh create --paused, or "from snapshot";
#            "migrating" means that it is on its way to, or from, another host.
# Behaviour: it is told as "paused (migrating)" until it runs, though nothing migrates and nothing will. Nothing in the state tells it from a guest that a live
#            migration has left paused on its target.
# Version:   libvirt 9.0.0 with QEMU 7.2 (Debian 12).
# Source:    libvirt's reference of virDomainPausedReason calls VIR_DOMAIN_PAUSED_MIGRATION "paused for offline migration"; virsh(1) says of restore --paused
#            only that the domain will be paused.
# So:        who sees a guest paused for a migration must not take for granted that its other half lives elsewhere, or may begin to: a program has to keep a mark
#            of its own for what it awaits.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The packages and what they need are unpacked, not installed.
sources=$(ls /etc/apt/sources.list.d/debian.sources 2>/dev/null || echo /etc/apt/sources.list)
packages='libvirt-daemon=9.0.0-4*,libvirt-daemon-driver-qemu=9.0.0-4*,libvirt-clients=9.0.0-4*,qemu-system-x86=1:7.2+dfsg-7*'
mmdebstrap --quiet --variant=extract --include="$packages" bookworm root "$sources"
mkdir --parents root/{proc,sys,dev,run,tmp,root,etc/libvirt,var/lib/libvirt,var/log}
rm -rf root/var/run
ln --symbolic /run root/var/run
printf 'root:x:0:0:root:/root:/bin/false\nlibvirt-qemu:x:64055:64055::/:/bin/false\n' >root/etc/passwd
printf 'root:x:0:\nkvm:x:104:\nlibvirt:x:105:\nlibvirt-qemu:x:64055:\n' >root/etc/group
printf 'user = "root"\ngroup = "root"\ncgroup_controllers = [ ]\nsecurity_driver = "none"\nnamespaces = [ ]\nstdio_handler = "file"\n' >root/etc/libvirt/qemu.conf
cat >root/guest.xml <<'XML'
<domain type='qemu'><name>guest</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model='none'/></devices></domain>
XML

cat >run.sh <<'INSIDE'
set -euo pipefail
mount -t proc proc root/proc
mount -t sysfs sysfs root/sys
mount -t tmpfs tmpfs root/run
mount -t tmpfs tmpfs root/dev
mkdir root/dev/pts
for device in null zero full random urandom; do
    touch "root/dev/$device"
    mount --bind "/dev/$device" "root/dev/$device"
done
mount -t devpts devpts root/dev/pts
inside() { env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root chroot root "$@"; }
inside libvirtd >libvirtd.log 2>&1 &
for _try in $(seq 300); do
    inside virsh list >/dev/null 2>&1 && break
    sleep 0.1
done
told() { echo "$1: $(inside virsh domstate --reason guest | head -n 1)"; }
{
    inside virsh create --paused /guest.xml >/dev/null
    told 'created paused'
    inside virsh resume guest >/dev/null
    inside virsh save guest /guest.save >/dev/null
    inside virsh restore --paused /guest.save >/dev/null
    told 'restored paused'
    inside virsh resume guest >/dev/null
    told 'then resumed'
} >told
INSIDE
# They have processes, mounts and a network of their own, which end with the script.
unshare --net --mount --pid --fork --propagation private timeout 120 bash run.sh

cat told
expected='created paused: paused (user)
restored paused: paused (migrating)
then resumed: running (unpaused)'
if [[ $(cat told) != "$expected" ]]; then exit 1; fi
echo 'As described: what was restored paused looks like one half of a migration.'
