# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole plays, from the start of ansible-playbook to its end: against those of another checkout of the collection (--against), in turn, on another lab (--lab).

The other checkout needs what an operator's has: a .build/collections with the collection's tree in it. --defaults installs both from their tarballs instead,
and takes Ansible's own configuration.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from figures import Figures  # noqa: E402
from listener import Listener  # noqa: E402
from mesh_lab import CAPSULE, LAB, ROOT, SHOP, Mesh  # noqa: E402

EAST, WEST, RMS = "198.18.1.10", "198.18.2.10", ("rm-east-1", "rm-west-1")
OF_SERVICE = {"service": "shop", "domain": "example.com", "to_hn": "hn-east", "capsule": "1.0.0-warm"}
#: What is measured, in an order in which each finds what the one before it left: the playbook, and its variables.
PLAYS: tuple[tuple[str, str, dict[str, t.Any]], ...] = (
    ("place", "place", {"instance": SHOP, "capsule": "1.0.0", "to_hn": "hn-east", "to_rm": RMS[0], "public_address": EAST}),
    ("status", "status", {}),
    ("suspend", "suspend", {"instance": SHOP}),
    ("resume", "resume", {"instance": SHOP}),
    ("move by suspend", "move", {"instances": SHOP, "to_hn": "hn-west", "to_rm": RMS[1], "public_address": WEST, "strategy": "suspend"}),
    ("move back", "move", {"instances": SHOP, "to_hn": "hn-east", "to_rm": RMS[0], "public_address": EAST, "strategy": "suspend"}),
    ("outage of a move", "move", {"instances": SHOP, "to_hn": "hn-west", "to_rm": RMS[1], "public_address": WEST, "strategy": "suspend"}),
    ("outage of a move back", "move", {"instances": SHOP, "to_hn": "hn-east", "to_rm": RMS[0], "public_address": EAST, "strategy": "suspend"}),
    ("scale 1 to 5", "scale", {**OF_SERVICE, "count": 5}),
    ("scale 5 to 1", "scale", {**OF_SERVICE, "count": 1, "surplus": "absent"}),
    # Its guest need not shut down, which it has not always been asked to do.
    ("remove", "remove", {"instance": SHOP, "stop_timeout": 0}),
    ("site where nothing is to do", "site", {}),
)


class Checkout:
    """One tree of the collection, the lab that it works on, and how its plays are run."""

    def __init__(self, root: pathlib.Path, lab: pathlib.Path, defaults: bool) -> None:
        self.root, self.lab = root, lab
        self._installed = installed(root) if defaults else None
        # Variables of playbooks begin with the verb since there are plans.
        self.plans = (root / "roles" / "operation").is_dir()

    def play(self, playbook: str, variables: t.Mapping[str, t.Any]) -> float:
        """Run a playbook of this tree, without names of services, and return the seconds that it took."""
        if self.plans:
            named = {"names_host": "", **{name if name in CAPSULE else f"{playbook}_{name}": value for name, value in variables.items()}}
        else:
            named = {"publish_host": "", **{"instance" if name == "instances" else name: value for name, value in variables.items()}}
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(self._installed or self.root / ".build" / "collections"),
            "ANSIBLE_INVENTORY": str(self.lab / "inventory.yml"),
        }
        with tempfile.NamedTemporaryFile("w", suffix=".json") as said, tempfile.NamedTemporaryFile("w", suffix=".cfg") as plain:
            json.dump(named, said)
            said.flush()
            environment["ANSIBLE_CONFIG"] = plain.name if self._installed else str(self.root / "ansible.cfg")
            began = time.monotonic()
            what = f"vmatrix.mesh.{playbook}" if self._installed else str(self.root / "playbooks" / f"{playbook}.yml")
            argv = ["ansible-playbook", what, "-e", f"@{said.name}"]
            done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            seconds = time.monotonic() - began
        assert done.returncode == 0, done.stdout
        return seconds

    def prepare(self) -> None:
        """Set the lab up, and have all RMs that are measured hold what they need, so that nothing is brought anywhere."""
        self.play("site", {})
        self.play("capsule_import", {"rm": RMS[0], **CAPSULE})
        self.play("place", {"instance": SHOP, "capsule": "1.0.0", "to_hn": "hn-west", "to_rm": RMS[1]})
        self.play("clone", {"instances": SHOP, "clones": "shop-2.example.com", "capsule": "1.0.0-warm", "to_hn": "hn-east"})
        for gone in (SHOP, "shop-2.example.com"):
            self.play("remove", {"instance": gone})
        self.play("scale", {**OF_SERVICE, "count": 5})
        self.play("scale", {**OF_SERVICE, "count": 0, "surplus": "absent"})


def installed(root: pathlib.Path) -> pathlib.Path:
    """Build the tarball of a checkout and install it, as users get it; return where."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="vmatrix-bench-"))
    atexit.register(shutil.rmtree, place)
    build = ["ansible-galaxy", "collection", "build", str(root), "--output-path", str(place)]
    subprocess.run(build, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    (tarball,) = place.glob("*.tar.gz")
    install = ["ansible-galaxy", "collection", "install", "--no-deps", "--collections-path", str(place), str(tarball)]
    subprocess.run(install, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return place


def measured(what: str, checkout: Checkout, playbook: str, variables: t.Mapping[str, t.Any]) -> float:
    """Return the seconds of a play, or of the outage that it brings, as a client sees it who asks all the time."""
    if not what.startswith("outage"):
        return checkout.play(playbook, variables)
    with Listener(EAST, WEST, lab=checkout.lab) as listener:
        listener.first_after(time.time())
        began = time.time()
        checkout.play(playbook, variables)
        listener.first_after(time.time())
        return listener.longest_gap(began)


#: What a figure may take of that of the other checkout, where it is not 0.6.
GOALS = {"site where nothing is to do": 0.35, "outage of a move": 1.05, "outage of a move back": 1.05}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=pathlib.Path, help="another checkout of the collection; without one there are no ratios")
    parser.add_argument("--lab", type=pathlib.Path, default=LAB, help="the lab that the other checkout works on, without instances (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each figure is taken")
    parser.add_argument("--defaults", action="store_true", help="with Ansible's own configuration instead of the repository's")
    args = parser.parse_args()
    figures = Figures()
    Mesh().remove_all()
    checkouts = {"now": Checkout(ROOT, LAB, args.defaults)}
    if args.against:
        checkouts["then"] = Checkout(args.against.resolve(), args.lab.resolve(), args.defaults)
    for checkout in checkouts.values():
        checkout.prepare()
    for number in range(args.rounds):
        # Whoever comes first finds other caches, so they take turns.
        for which in sorted(checkouts, reverse=bool(number % 2)):
            for what, playbook, variables in PLAYS:
                figures.add(f"{what}, {which}", measured(what, checkouts[which], playbook, variables))
    figures.show("s")
    for what, unused, unused_too in PLAYS if args.against else ():
        figures.ratio(f"{what}, now", f"{what}, then", str(GOALS.get(what, 0.7 if args.defaults else 0.6)))


if __name__ == "__main__":
    main()
