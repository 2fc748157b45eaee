# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The keys by which RMs are let in on the host of their VMA, for nothing but asking."""

from __future__ import annotations

import contextlib
import re

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import lock, write_atomic

PATH = "/var/lib/vmatrix-vma/.ssh/authorized_keys"
COMMAND = "PYTHONPATH=/usr/lib/vmatrix/engines.zip exec /usr/bin/python3 -m ansible_collections.vmatrix.mesh.plugins.module_utils._vma.relay {}"
_KEY = r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/=]{60,1000}"
_LINE = re.compile('restrict,command="' + re.escape(COMMAND).replace(r"\{\}", '(?P<rm>[^" ]+)') + f'" (?P<key>{_KEY})')


def admitted(path: str = PATH) -> dict[str, str]:
    """Return the keys of the RMs that are let in, by name."""
    try:
        with open(path, encoding="utf-8") as handle:
            found = [_LINE.fullmatch(line.rstrip("\n")) for line in handle]
    except FileNotFoundError:
        return {}
    return {each["rm"]: each["key"] for each in found if each}


def admit(rm: str, key: str | None, check: bool = False, path: str = PATH) -> bool:
    """Let an RM in by a *key*, or not any more without one; return whether that is a change.

    Raises:
        InvalidInput: this is no key.
    """
    names.machine(rm)
    if key is not None:
        shown = " ".join(key.split()[:2])
        if not re.fullmatch(_KEY, shown):
            raise InvalidInput(f"The key of {rm} is no public key of SSH (ed25519, ECDSA or RSA).")
        key = shown
    with contextlib.nullcontext() if check else lock(f"{path}.lock", "the keys of RMs"):
        before = admitted(path)
        after = {name: known for name, known in {**before, rm: key}.items() if known is not None}
        if before != after and not check:
            write_atomic(path, "".join(f'restrict,command="{COMMAND.format(name)}" {known}\n' for name, known in sorted(after.items())), 0o644)
    return before != after
