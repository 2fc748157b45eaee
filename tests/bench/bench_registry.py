# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many seconds of a processor calls take on a registry with many records against one with few; needs no lab."""

from __future__ import annotations

import pathlib
import shutil
import sys
import tempfile
import time
import typing as t

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS.parent / ".build" / "collections")]

from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import hn, instances, overview, reservations, rms, several  # noqa: E402
from figures import Figures, rounds  # noqa: E402

FEW, MANY = 10, 10_000
#: Instances that are reserved by one call.
AT_ONCE = 200
#: Of each domain there are so many instances, in services of so many.
OF_DOMAIN, OF_SERVICE = 50, 10
RMS = 100


def wishes(domain: str, count: int) -> list[dict[str, t.Any]]:
    """Return what several.update_all() takes to reserve *count* instances of a domain."""
    requirements = {"memory_mib": 128, "vcpus": 1, "disk_bytes": 1 << 30, "machine_type": "pc-i440fx-7.2", "cpu": "qemu64", "accelerator": None}
    common = {"capsule": "1.0.0", "ports": [{"protocol": "tcp", "port": 80}], "requirements": requirements}
    guests = [{"address": f"192.168.{number // 200}.{1 + number % 200}/16", "gateway": "192.168.255.1", "mac": "52:54:00:12:34:56"} for number in range(count)]
    names = [f"shop{number // OF_SERVICE}-{number % OF_SERVICE + 1}.{domain}" for number in range(count)]
    return [{"instance": name, "reservation": {**common, "guest": guest}} for name, guest in zip(names, guests)]


def clones(domain: str, count: int) -> list[dict[str, t.Any]]:
    """Return the same for instances of one service that believe to be one machine."""
    first = wishes(domain, 1)[0]["reservation"]
    return [{"instance": f"shop-{number}.{domain}", "reservation": first} for number in range(1, count + 1)]


def filled(directory: pathlib.Path, count: int) -> pathlib.Path:
    """Make a registry with *count* records, and return its file."""
    path = directory / f"{count}.db"
    url = f"sqlite:///{path}"
    hn.declare(url, "hn-east", ["198.18.0.0/16"], 100, 4000, 8)
    subscription = {"memory_mib": 1 << 20, "vcpus": 256, "disk_bytes": 1 << 44, "machine_types": ["pc-i440fx-7.2"], "cpus": ["qemu64"], "accelerator": "kvm"}
    for number in range(RMS):
        rms.subscribe(url, f"rm-{number}", {"address": f"10.77.1.{number + 1}", **subscription})
    for number in range(-(-count // OF_DOMAIN)):
        reserved = wishes(f"example{number}.com", min(OF_DOMAIN, count - number * OF_DOMAIN))
        several.update_all(url, [{**each, "state": "running", "in_rotation": True, "operation_done": True} for each in reserved])
    return path


def measure(figures: Figures, path: pathlib.Path, count: int) -> None:
    """Measure each call once, on a copy of a registry."""
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    url = f"sqlite:///{copy}"
    one = {**wishes("example.org", 1)[0]["reservation"], "instance": "shop0-1.example.org"}
    withdrawn = {"instance": "shop0-1.example0.com", "in_rotation": False}
    for what, call in (
        (f"{AT_ONCE} clones reserved at once", lambda: several.update_all(url, clones("clones.example", AT_ONCE))),
        (f"{AT_ONCE} instances of {AT_ONCE // OF_SERVICE} services reserved at once", lambda: several.update_all(url, wishes("example.net", AT_ONCE))),
        ("one reserved, of a new domain", lambda: reservations.reserve(url, one)),
        ("one withdrawn", lambda: instances.update(url, withdrawn)),
        ("a domain seen", lambda: overview.overview(url, domain="example0.com")),
        ("everything seen", lambda: overview.overview(url)),
    ):
        began = time.process_time()
        call()
        figures.add(f"{what}, among {count}", time.process_time() - began)


def main() -> None:
    """Measure and print."""
    number = rounds(__doc__)
    figures = Figures()
    with tempfile.TemporaryDirectory() as directory:
        registries = {count: filled(pathlib.Path(directory), count) for count in (FEW, MANY)}
        for _round in range(number):
            for count, path in registries.items():
                measure(figures, path, count)
    figures.show("s")
    for name in [name for name in figures.series if name.endswith(f"among {MANY}")]:
        figures.ratio(name, name.replace(str(MANY), str(FEW)), "1.5" if str(AT_ONCE) in name else "")


if __name__ == "__main__":
    main()
