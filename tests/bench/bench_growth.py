# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole plays with 4 RMs and with many (--rms, 200): the further ones are aliases of the lab's, in the inventory and in the VMAs' registries.

Both kinds of play are run in turn. The VMAs know of all RMs all along, so only the inventories differ.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
import typing as t

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from figures import Figures  # noqa: E402
from mesh_lab import CAPSULE, LAB, ROOT, SHOP, Mesh  # noqa: E402

OFFER = ("address", "memory_mib", "vcpus", "disk_bytes", "machine_types", "cpus", "accelerator")
FORGET = """
import sqlite3
registry = sqlite3.connect("/var/lib/vmatrix/vma/registry.db")
registry.execute("PRAGMA foreign_keys=ON")
registry.execute("DELETE FROM listings WHERE rm LIKE '%-alias-%'")
registry.execute("DELETE FROM rms WHERE name LIKE '%-alias-%'")
registry.commit()
"""
EAST, HOME = "198.18.1.10", "rm-east-1"
PLAYS: tuple[tuple[str, str, dict[str, t.Any], float], ...] = (
    ("place", "place", {"place_instance": SHOP, "place_capsule": "1.0.0", "place_to_hn": "hn-east", "place_to_rm": HOME, "place_public_address": EAST}, 1.2),
    ("status", "status", {}, 2.5),
    ("suspend", "suspend", {"suspend_instance": SHOP}, 1.2),
    ("resume", "resume", {"resume_instance": SHOP}, 1.2),
    ("remove", "remove", {"remove_instance": SHOP}, 1.2),
    ("place where there is room", "place", {"place_instance": SHOP, "place_capsule": "1.0.0", "place_to_hn": "hn-west"}, 1.2),
    ("remove again", "remove", {"remove_instance": SHOP}, 1.2),
)


def aliases(inventory: t.Mapping[str, t.Any], count: int) -> dict[str, dict[str, t.Any]]:
    """Return the variables of *count* further RMs by name, each those of one of the lab's."""
    hosts = inventory["lab"]["hosts"]
    own = sorted(inventory["rms"]["hosts"])
    return {f"{own[number % len(own)]}-alias-{number}": hosts[own[number % len(own)]] for number in range(count)}


def enlarged(inventory: t.Mapping[str, t.Any], further: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return an inventory with further RMs."""
    hosts = {**inventory["lab"]["hosts"], **further}
    return {**inventory, "lab": {**inventory["lab"], "hosts": hosts}, "rms": {"hosts": dict.fromkeys([*inventory["rms"]["hosts"], *further])}}


def subscribe(mesh: Mesh, further: t.Iterable[str]) -> None:
    """Have the VMAs know further RMs, with what the lab's own offer less a MiB, so that both inventories have the same first choice."""
    for vma in mesh.group("vmas"):
        offers = {rm["name"]: {key: rm[key] for key in OFFER} for rm in mesh.module(vma, "vma_info")["rms"]}
        mine = [(name, offers[name.partition("-alias-")[0]]) for name in further if name.partition("-alias-")[0] in offers]
        calls = [{"call": "subscribe", "arguments": {**offer, "name": name, "memory_mib": offer["memory_mib"] - 1, "capsules": []}} for name, offer in mine]
        done = mesh.module(vma, "stage", calls=calls)
        assert not done.get("failed"), done


def forget(mesh: Mesh) -> None:
    """Have the VMAs forget them again."""
    for vma in mesh.group("vmas"):
        mesh.ssh(vma, "python3", "-c", FORGET)


def play(inventory: pathlib.Path, playbook: str, variables: t.Mapping[str, t.Any]) -> float:
    """Run a playbook with an inventory, and return the seconds that it took."""
    extra = [text for name, value in {"names_host": "", **variables}.items() for text in ("-e", f"{name}={value}")]
    began = time.monotonic()
    argv = ["ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks" / f"{playbook}.yml"), *extra]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return time.monotonic() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each figure is taken")
    parser.add_argument("--rms", type=int, default=200, help="how many RMs the larger inventory has")
    args = parser.parse_args()
    mesh, figures = Mesh(), Figures()
    for playbook, variables in (("site", {}), ("capsule_import", {"rm": HOME, **CAPSULE}), ("capsule_import", {"rm": "rm-west-1", **CAPSULE})):
        done = mesh.play(playbook, **variables)
        assert done.ok, done.output
    mesh.remove_all()
    inventory = yaml.safe_load((LAB / "inventory.yml").read_text(encoding="utf-8"))
    further = aliases(inventory, args.rms - len(inventory["rms"]["hosts"]))
    subscribe(mesh, further)
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as many:
            yaml.safe_dump(enlarged(inventory, further), many)
            many.flush()
            with_few, with_many = "4 RMs", f"{args.rms} RMs"
            for number in range(args.rounds):
                for size, path in sorted({with_few: LAB / "inventory.yml", with_many: pathlib.Path(many.name)}.items(), reverse=bool(number % 2)):
                    for what, playbook, variables, unused in PLAYS:
                        figures.add(f"{what}, {size}", play(path, playbook, variables))
    finally:
        mesh.remove_all()
        forget(mesh)
    figures.show("s")
    for what, unused, unused_too, goal in PLAYS:
        figures.ratio(f"{what}, {with_many}", f"{what}, {with_few}", f"{goal}")


if __name__ == "__main__":
    main()
