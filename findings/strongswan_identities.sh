#!/usr/bin/env bash
# Guess:     swanctl --list-conns, and the vici command list-conns below it, tell of the ends of a connection the identities that it was loaded with: so who
#            compares the two knows whether a connection is as it should be.
# Behaviour: they tell the value of an identity without its type, and distinguished names in words of their own. A key id (keyid:store) and a name (store) are
#            different identities, of which a peer accepts one only, and look the same; what was loaded as C=DE,O=Example,CN=vpn is told with blanks in it.
# Version:   strongSwan 5.9.8 (charon-systemd and strongswan-swanctl 5.9.8-5* of Debian 12).
# Source:    swanctl.conf(5) on id says which text gives which type of identity; the README.md of the vici plugin says of list-conns only "id = <IKE identity>".
# So:        who looks for what somebody has changed brings what was loaded into one canonical form first, and has to remember the types of identities itself.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The packages and what they need are unpacked, not installed.
sources=$(ls /etc/apt/sources.list.d/debian.sources 2>/dev/null || echo /etc/apt/sources.list)
packages='charon-systemd=5.9.8-5*,strongswan-swanctl=5.9.8-5*,libstrongswan-standard-plugins=5.9.8-5*'
mmdebstrap --quiet --variant=extract --include="$packages" bookworm root "$sources"
mkdir --parents root/var/run root/proc root/dev

declare -A loaded=([name]='store' [key]='keyid:store' [subject]='"C=DE,O=Example,CN=vpn"') told=([name]='store' [key]='store' [subject]='C=DE, O=Example, CN=vpn')
{
    echo 'connections {'
    for which in name key subject; do
        printf '  %s {\n    local {\n      auth = psk\n      id = %s\n    }\n    remote {\n      auth = psk\n    }\n  }\n' "$which" "${loaded[$which]}"
    done
    echo '}'
} >root/etc/swanctl/swanctl.conf

cat >run.sh <<'INSIDE'
set -euo pipefail
mount -t proc proc root/proc
for device in null random urandom; do
    touch "root/dev/$device"
    mount --bind "/dev/$device" "root/dev/$device"
done
chroot root /usr/sbin/charon-systemd >charon.log 2>&1 &
daemon=$!
trap 'kill $daemon' EXIT
for _try in $(seq 100); do
    chroot root /usr/sbin/swanctl --stats >/dev/null 2>&1 && break
    sleep 0.1
done
chroot root /usr/sbin/swanctl --load-conns >/dev/null 2>load.log
chroot root /usr/sbin/swanctl --list-conns --raw >conns 2>/dev/null
INSIDE
# It has a network of its own, of which nothing leaves the machine, and its mounts go with it.
unshare --net --mount --propagation private bash run.sh

failed=0
for which in name key subject; do
    seen=$(sed -n "s/^list-conn event {$which .*local-1 {id=\(.*\) class=.*remote-1.*/\1/p" conns)
    echo "loaded as ${loaded[$which]}, told as $seen"
    [[ $seen == "${told[$which]}" ]] || failed=1
done
if ((failed)); then exit 1; fi
echo 'As described: the type of an identity is not told, and a distinguished name not as it was loaded.'
