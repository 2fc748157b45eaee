# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What a VMA is asked by its RMs, without any operation: C(python3 -m ..._vma.asked REGISTRY [--alone]), behind the socket that C(relay) connects to.

In comes a line with the name of the RM, which the relay vouches for, and then a JSON text; out comes a JSON text, which has C(error) if there was one.
"""

from __future__ import annotations

import json
import sys
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import restarts
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.relay import LONGEST


def answer(url: str, said: bytes, alone: bool) -> dict[str, t.Any]:
    """Return what an RM is answered.

    Args:
        url: the registry.
        said: what came in.
        alone: as restarts.begin() takes it.
    """
    name, _end, text = said.partition(b"\n")
    try:
        rm, asked = name.decode("ascii"), json.loads(text)
        (what, about), *more = asked.items()
        if more or what not in ("restart", "ended"):
            raise ValueError
    except (ValueError, AttributeError):
        return {"error": "This is no question that a VMA is asked."}
    try:
        if what == "ended":
            return restarts.end(url, rm, str(about))
        if not isinstance(about, dict) or not all(isinstance(epoch, int) for epoch in about.values()):
            raise InvalidInput("An RM has to say the epoch of each instance that it would start.")
        return restarts.begin(url, rm, about, alone)
    except MeshError as exc:
        return {"error": exc.message}


def main(argv: list[str]) -> None:
    """Answer one RM."""
    json.dump(answer(argv[1], sys.stdin.buffer.read(LONGEST), "--alone" in argv[2:]), sys.stdout)


if __name__ == "__main__":
    main(sys.argv)
