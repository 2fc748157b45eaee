# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Live moves between the RMs of an HN, beside a bare virsh migrate with storage copy of the same guest, both under load: how long it stands still, how long
all takes, and what callers lose. The lab's guests are emulated, so they stand still while their memory is sent, by either."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import subprocess
import sys
import time
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from figures import Figures, rounds  # noqa: E402
from load import Load  # noqa: E402
from mesh_lab import LAB, SHOP, Mesh  # noqa: E402

EAST, RMS, SWITCHES = "198.18.1.10", ("rm-east-1", "rm-east-2"), ("rm-east-1", "rm-east-2", "gw-east")
HOME = f"/var/lib/vmatrix/instances/{SHOP}"
#: Makes the overlays on the other RM as a person would, from what those here lie over.
OVERLAYS = """
cd {home}
for overlay in *.qcow2; do
  qemu-img info -U --output=json "$overlay" |
    python3 -c "import json, sys; told = json.load(sys.stdin); print(told['full-backing-filename'], told['backing-filename-format'], told['virtual-size'])" |
    while read -r base form size; do
      ssh -n root@{to} "mkdir -p {home}; rm -f {home}/$overlay; qemu-img create -q -u -f qcow2 -b $base -F $form {home}/$overlay $size; \\
        chown libvirt-qemu {home}/$overlay"
    done
done
"""
#: Lets every frame through a switch, into every VLAN, and closes it again: nobody guards the port of a guest that came by hand, and an unguarded one is mute.
OPEN = """
ovs-ofctl add-flow br-mesh priority=999,actions=normal
for port in $(ovs-vsctl list-ports br-mesh | grep ^trunk); do
  ovs-vsctl get port $port trunks > /run/bench-$port
  ovs-vsctl clear port $port trunks
done
"""
CLOSE = """
ovs-ofctl --strict del-flows br-mesh priority=999
for kept in /run/bench-*; do
  ovs-vsctl set port ${kept#/run/bench-} trunks="$(cat $kept)"
  rm $kept
done
"""
#: Each prints when it began and ended.
BARE = """
date +%s.%N
virsh -q migrate --p2p --copy-storage-inc {name} qemu+ssh://root@{to}/system?no_verify=1 tcp://{to} --disks-uri tcp://{to} >&2
date +%s.%N
"""
#: The same through SSH, as all that leaves an RM of the mesh is encrypted.
ENCRYPTED = """
ways=/run/bench
ssh root@{to} install -d -o libvirt-qemu $ways
mkdir $ways
ssh -N -c aes128-gcm@openssh.com -L $ways/control:/run/libvirt/libvirt-sock -L $ways/memory:$ways/memory -L $ways/disks:$ways/disks root@{to} &
until test -S $ways/disks; do sleep 0.05; done
chown libvirt-qemu $ways/disks
date +%s.%N
virsh -q migrate --p2p --copy-storage-inc {name} qemu+unix:///system?socket=$ways/control unix://$ways/memory --disks-uri unix://$ways/disks >&2
date +%s.%N
kill %1
rm -r $ways
ssh root@{to} rm -r $ways
"""
BY_HAND = {"bare virsh migrate": BARE, "bare virsh migrate through SSH": ENCRYPTED}


class Events:
    """What libvirt says on both RMs of the domains' lives, all along."""

    def __init__(self) -> None:
        argv = ["ssh", "-F", str(LAB / "ssh_config"), "-tt"]
        command = "virsh event --event lifecycle --timestamp --loop"
        self._tails = {rm: subprocess.Popen([*argv, rm, command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for rm in RMS}

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_error: object) -> None:
        for tail in self._tails.values():
            tail.terminate()
            tail.wait()

    def stood_still(self, source: str, to: str) -> float:
        """Return the seconds from when the guest stopped at *source* until it went on at *to*."""
        time.sleep(0.5)
        said = {}
        for rm, tail in self._tails.items():
            tail.terminate()
            said[rm] = [line for line in tail.communicate()[0].splitlines() if SHOP in line]
        return _last(said[to], "Resumed") - _last(said[source], "Suspended")


def _last(lines: list[str], word: str) -> float:
    return max(datetime.datetime.strptime(line[:28], "%Y-%m-%d %H:%M:%S.%f%z").timestamp() for line in lines if word in line)


@contextlib.contextmanager
def watched(figures: Figures, who: str, source: str, to: str) -> t.Iterator[None]:
    """See when the guest stands still in a move under load, which is what the block does, and what callers lose."""
    load = Load(EAST)
    try:
        with Events() as events:
            yield
            figures.add(f"{who}: the guest stands still, s", events.stood_still(source, to))
    finally:
        suffered = load.end()
    figures.add(f"{who}: requests and downloads lost", len(suffered.failures))
    figures.add(f"{who}: the longest request, s", suffered.longest)
    for moment, kind, why in suffered.failures:
        print(f"{who}: lost at {moment:.2f}: {kind}, {why}", flush=True)


@contextlib.contextmanager
def acquainted(mesh: Mesh) -> t.Iterator[None]:
    """Let root of each of the two RMs into the other, and their guests into the network, as a bare migration needs it, while the block runs."""
    for rm, other in (RMS, RMS[::-1]):
        mesh.shell(rm, "test -e ~/.ssh/id_bench || ssh-keygen -q -t ed25519 -N '' -C bench -f ~/.ssh/id_bench")
        key = mesh.ssh(rm, "cat", "/root/.ssh/id_bench.pub").strip()
        mesh.shell(other, f"mkdir -p ~/.ssh; echo '{key}' >> ~/.ssh/authorized_keys")
        mesh.shell(rm, "printf 'IdentityFile ~/.ssh/id_bench\\nStrictHostKeyChecking accept-new\\n' > ~/.ssh/config")
    for switch in SWITCHES:
        mesh.shell(switch, OPEN)
    try:
        yield
    finally:
        for switch in SWITCHES:
            mesh.shell(switch, CLOSE)
        for rm in RMS:
            mesh.shell(rm, "sed -i '/ bench$/d' ~/.ssh/authorized_keys; rm -f ~/.ssh/id_bench ~/.ssh/id_bench.pub ~/.ssh/config")


def by_hand(mesh: Mesh, how: str, source: str, to: str) -> float:
    """Have virsh migrate the guest, and return the seconds that it took."""
    mesh.shell(source, OVERLAYS.format(home=HOME, to=to))
    began, ended = mesh.shell(source, how.format(name=SHOP, to=to)).split()
    return float(ended) - float(began)


def main() -> None:
    """Measure and print."""
    count = rounds(__doc__)
    mesh, figures = Mesh(), Figures()
    mesh.place_anew(RMS[0], EAST)
    addresses = {rm: mesh.ssh(rm, "hostname", "-I").split()[0] for rm in RMS}
    for unused in range(count):
        # There and back once, so that both RMs have the capsule, and the port of a guest that came back by hand is guarded.
        for to in RMS[::-1]:
            assert mesh.play("move", instance=SHOP, to_rm=to).ok
        for source, to in (RMS, RMS[::-1]):
            with watched(figures, "the mesh", source, to):
                moved = mesh.play("move", instance=SHOP, to_rm=to)
                assert moved.ok, moved.output
            figures.add("the mesh: the whole play, s", moved.seconds)
            figures.add("the mesh: libvirt's part, s", moved.answer("cut_over.source")["instances"][0]["seconds"]["send"])
            figures.add("the mesh: MiB of memory on the wire", moved.answer("cut_over.target")["instances"][0]["bytes_wire"] / (1 << 20))
        with acquainted(mesh):
            for who, how in BY_HAND.items():
                for source, to in (RMS, RMS[::-1]):
                    with watched(figures, who, source, to):
                        seconds = by_hand(mesh, how, source, addresses[to])
                    figures.add(f"{who}: all of it, s", seconds)
            mesh.ssh(RMS[1], "rm", "-rf", HOME)
    figures.show("")
    for who in BY_HAND:
        figures.ratio("the mesh: the guest stands still, s", f"{who}: the guest stands still, s", "1.5")
        figures.ratio("the mesh: libvirt's part, s", f"{who}: all of it, s")
    assert mesh.play("remove", instance=SHOP).ok


if __name__ == "__main__":
    main()
