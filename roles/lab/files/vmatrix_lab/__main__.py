# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's tool: one command per call, a JSON document on standard input, a JSON result on standard output."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import lock
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.names import label

from vmatrix_lab import cache, host, hosts, links, places, vms

COMMANDS = {"build": cache.build, "up": hosts.up, "down": hosts.down, "links": links.shape, "vms-up": vms.up, "vms-down": vms.down}


def main() -> int:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(prog="vmatrix_lab", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what would change")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the root file system of the hosts and the images of the guests")
    commands.add_parser("up", help="make and boot the hosts")
    commands.add_parser("down", help="stop and remove the hosts")
    commands.add_parser("links", help="shape the gateways' links to the internet")
    commands.add_parser("vms-up", help="make hosts that are virtual machines")
    commands.add_parser("vms-down", help="stop and remove the hosts that are virtual machines")
    commands.add_parser("supervise", help="keep one host running").add_argument("name")
    chosen = parser.parse_args()
    try:
        label("lab", places.NAME)
        if chosen.command == "supervise":
            host.supervise(chosen.name)
            return 0
        document = json.load(sys.stdin)
        with contextlib.nullcontext() if chosen.check else lock(places.LOCK, "the lab", timeout=900):
            result = COMMANDS[chosen.command](document, chosen.check)
    except MeshError as exc:
        print(exc.message, file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
