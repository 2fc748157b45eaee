#!/usr/bin/env bash
# Guess:     qemu-img convert fails when the file of an image ends before the data that the image's own table points to, as after a download that broke off:
#            raw bytes beyond the end of a file are an error for whoever knows how many there have to be.
# Behaviour: of a VDI, a sparse VMDK, a qcow and a qcow2 image it reads zeros there, says nothing and exits with 0. A VHDX it refuses. qemu-img check finds the
#            errors of the VMDK and the qcow2, but none of the VDI; of the first qcow format it knows no check.
# Version:   qemu-utils 7.2 (Debian 12).
# Source:    the manual page qemu-img(1) on convert and check says nothing of files that are too short.
# So:        who takes images from elsewhere has to compare the length of the file with what the image's header and table ask for, before converting it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The packages and what they need beyond a small Debian 12 are unpacked, not installed.
mkdir debs root
packages=$(apt-get --simulate --no-install-recommends --reinstall install 'qemu-utils=1:7.2+dfsg-7*' | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
# shellcheck disable=SC2086
(cd debs && apt-get --quiet=2 -o APT::Sandbox::User=root download $packages)
for deb in debs/*.deb; do dpkg-deb --extract "$deb" root; done
LD_LIBRARY_PATH=$work/root/usr/lib/$(gcc -print-multiarch 2>/dev/null || echo x86_64-linux-gnu)
export LD_LIBRARY_PATH
img=$work/root/usr/bin/qemu-img

# Eight megabytes, all of them data.
head --bytes 8388608 /dev/zero | tr '\0' 'x' >whole.raw
declare -A expected=([vdi]='converted, 0' [vmdk]='converted, errors' [qcow]='converted, none' [qcow2]='converted, errors' [vhdx]='refused, none')
failed=0
for format in vdi vmdk qcow qcow2 vhdx; do
    "$img" convert -f raw -O "$format" whole.raw "image.$format"
    # As when a download broke off in its last megabyte.
    truncate --size=-1048576 "image.$format"
    if "$img" convert -f "$format" -O raw "image.$format" "back.$format" 2>/dev/null; then converted='converted'; else converted='refused'; fi
    checked=none
    case $format in
    vdi | vmdk | qcow2)
        # 0: no errors; 2: corruptions.
        rc=0
        "$img" check -f "$format" "image.$format" >/dev/null 2>&1 || rc=$?
        checked=$([[ $rc == 0 ]] && echo 0 || echo errors)
        ;;
    esac
    same=differs
    if [[ -f back.$format ]] && cmp --quiet whole.raw "back.$format"; then same='is the same'; fi
    echo "$format: $converted; check: $checked; what came out $same"
    [[ "$converted, $checked" == "${expected[$format]}" && $same == differs ]] || failed=1
done
if ((failed)); then exit 1; fi
echo 'As described: most images that are cut off are converted as if they were whole.'
