# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether QEMU loses what an emulated guest writes while its memory is sent: two QEMUs on one RM of the lab, without libvirt and without us; how many
migrations end with a memory at the target that is not the one that the source stopped with, if the guest runs on meanwhile, and if it stands still."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
import urllib.request

IMAGES, PORT, PAGE = "/srv/images", 18080, 4096
MEMORY = 128 << 20
GUEST = [
    *("qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-m", "128", "-display", "none", "-serial", "none"),
    *("-kernel", f"{IMAGES}/vmlinuz", "-initrd", f"{IMAGES}/tiny-initrd.img"),
    *("-append", "quiet vmx.address=192.168.1.10/24 vmx.gateway=192.168.1.1 vmx.hostname=shop"),
    *("-drive", f"file={IMAGES}/tiny-data.qcow2,if=virtio,snapshot=on,format=qcow2", "-device", "virtio-net-pci,netdev=net"),
]
NET = "user,id=net,net=192.168.1.0/24,host=192.168.1.1,dhcpstart=192.168.1.20"
#: A slow link and little patience, so that there are several passes over the memory, as with a large guest.
SLOWLY = {"downtime-limit": 10, "max-bandwidth": 30 << 20}


class Qemu:
    """A QEMU process and its monitor (https://www.qemu.org/docs/master/interop/qmp-spec.html)."""

    def __init__(self, home: str, name: str, net: str, *more: str) -> None:
        path = f"{home}/{name}"
        self._dump = f"{path}.memory"
        self._process = subprocess.Popen([*GUEST, "-netdev", net, "-qmp", f"unix:{path}.qmp,server=on,wait=off", *more])
        self._socket = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + 10
        while self._socket.connect_ex(f"{path}.qmp"):
            assert time.monotonic() < end, "QEMU did not start"
            time.sleep(0.05)
        self._lines = self._socket.makefile("rw")
        self._lines.readline()
        self.ask("qmp_capabilities")

    def __enter__(self) -> Qemu:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._lines.close()
        self._socket.close()

    def ask(self, command: str, **arguments: t.Any) -> t.Any:
        """Return what a command returns."""
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}))
        self._lines.flush()
        while "return" not in (said := json.loads(self._lines.readline())):
            assert "error" not in said, said
        return said["return"]

    def memory(self) -> bytes:
        """Return the guest's memory."""
        self.ask("pmemsave", val=0, size=MEMORY, filename=self._dump)
        return pathlib.Path(self._dump).read_bytes()


def answered() -> bool:
    """Download from the guest once, and say whether all of it came."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/big.sha256", timeout=2) as page:
            return bool(page.read())
    except (OSError, http.client.HTTPException):
        return False


@contextlib.contextmanager
def loaded() -> t.Iterator[None]:
    """Keep the guest busy while the block runs."""
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            answered() or over.wait(0.05)

    callers = [threading.Thread(target=call) for unused in range(3)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        over.set()
        for caller in callers:
            caller.join()


def lost(home: str, source: Qemu, running: bool) -> int:
    """Migrate the guest, and return how many pages at the target are not those that the source stopped with; it goes on at the source then."""
    way = f"unix:{home}/way"
    with Qemu(home, "target", NET, "-S", "-incoming", way) as target:
        if not running:
            source.ask("stop")
        source.ask("migrate-set-parameters", **SLOWLY)
        source.ask("migrate", uri=way)
        end = time.monotonic() + 60
        while source.ask("query-migrate")["status"] != "completed" or target.ask("query-migrate").get("status") != "completed":
            assert time.monotonic() < end, "the migration did not end"
            time.sleep(0.02)
        left, came = source.memory(), target.memory()
    source.ask("cont")
    return sum(left[at : at + PAGE] != came[at : at + PAGE] for at in range(0, MEMORY, PAGE))


def here(rounds: int) -> None:
    """Measure on this host, and print."""
    with tempfile.TemporaryDirectory() as home, Qemu(home, "source", f"{NET},hostfwd=tcp:127.0.0.1:{PORT}-192.168.1.10:80") as source:
        end = time.monotonic() + 60
        while not answered():
            assert time.monotonic() < end, "the guest did not come up"
        with loaded():
            for running in (True, False):
                pages = [lost(home, source, running) for unused in range(rounds)]
                what = "runs on" if running else "stands still"
                print(f"the guest {what:<12} migrations that lost writes: {sum(map(bool, pages))} of {rounds}   (pages: {sum(pages)})", flush=True)


def main() -> None:
    """Have it measured on an RM of the lab."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
    from figures import rounds  # pylint: disable=import-outside-toplevel
    from mesh_lab import LAB  # pylint: disable=import-outside-toplevel

    with open(__file__, "rb") as program:
        command = ["ssh", "-F", str(LAB / "ssh_config"), "rm-east-1", f"HERE={rounds(__doc__, 20)} python3 -"]
        sys.exit(subprocess.run(command, stdin=program, check=False).returncode)


if __name__ == "__main__":
    here(int(os.environ["HERE"])) if "HERE" in os.environ else main()
