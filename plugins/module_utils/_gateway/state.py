# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What a gateway remembers of its routers: the document in force and what its rules looked like once applied."""

from __future__ import annotations

import contextlib
import glob
import os
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import lock, read_json, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.document import Document

DIRECTORY = "/etc/vmatrix/routers"
_LOCKS = "/run/lock"
#: Who stands still by our own doing, and until when; a reboot ends that.
_SPARED = "/run/vmatrix/spared"
#: Seconds after which nobody begins to wait any more for what was called off.
_PASSED = 60.0


class State(t.NamedTuple):
    """One router as it was left.

    Attributes:
        document: what it was told to be.
        digest: of its rules, once applied.
        wan_interface: the interface that it faces the world by.
        bridge: the switch that its guests are on.
        down: the addresses of members that failed their health checks.
        written: the digest of its rules as they were written; that of newer engines is another, though the document is the same.
    """

    document: Document
    digest: str
    wan_interface: str
    bridge: str
    down: tuple[str, ...] = ()
    written: str = ""


def load(domain: str, directory: str = DIRECTORY) -> State | None:
    """Return the state of a domain's router, or None when this gateway has none."""
    found = read_json(_path(domain, directory))
    return State(**{**found, "down": tuple(found.get("down", ()))}) if found else None


def load_all(directory: str = DIRECTORY) -> list[State]:
    """Return the states of all routers of this gateway, in the order of their domains."""
    if not os.path.isdir(directory):
        return []
    found = [load(name[: -len(".json")], directory) for name in sorted(os.listdir(directory)) if name.endswith(".json")]
    return [state for state in found if state]


def save(state: State, directory: str = DIRECTORY) -> None:
    """Remember *state*; it is on the disk when this returns."""
    os.makedirs(directory, mode=0o755, exist_ok=True)
    write_json(_path(state.document["domain"], directory), state._asdict())


def forget(domain: str, directory: str = DIRECTORY) -> None:
    """Forget a domain's router."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(domain, directory))


@contextlib.contextmanager
def call_off(domain: str, generation: int) -> t.Iterator[t.Callable[[], bool]]:
    """Yield what tells whether the wait for the answers to one document was called off.

    Whoever knows that an answer will not come calls mark_called_off(), before or during the wait.
    """
    path = _called_off(domain, generation)
    try:
        yield lambda: os.path.exists(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def mark_called_off(domain: str, generation: int) -> None:
    """Call the wait for the answers to one document off."""
    with open(_called_off(domain, generation), "w", encoding="utf-8"):
        pass


def sweep_called_off(domain: str) -> None:
    """Remove the marks of waits that were called off a while ago: nobody has begun to wait, or he had ended."""
    for path in glob.glob(os.path.join(_LOCKS, f"vmatrix-router-{names.domain(domain)}-*.called-off")):
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_mtime < time.time() - _PASSED:
                os.unlink(path)


def _called_off(domain: str, generation: int) -> str:
    return os.path.join(_LOCKS, f"vmatrix-router-{names.domain(domain)}-{generation}.called-off")


def spare(domain: str, instances: t.Iterable[str], seconds: float) -> None:
    """Have the health checks of a domain's members leave *instances* in the rotation for so many seconds: they stand still by our own doing."""
    os.makedirs(_SPARED, mode=0o755, exist_ok=True)
    path, now = os.path.join(_SPARED, f"{names.domain(domain)}.json"), time.monotonic()
    with lock(f"{path}.lock", f"who is spared of {domain}"):
        left = {name: until for name, until in (read_json(path) or {}).items() if until > now}
        write_json(path, {**left, **dict.fromkeys(instances, now + seconds)})


def spared(domain: str) -> dict[str, float]:
    """Return the instances of a domain that the health checks leave in the rotation, each with the moment (of the monotonic clock) when that ends."""
    now = time.monotonic()
    found = read_json(os.path.join(_SPARED, f"{names.domain(domain)}.json")) or {}
    return {name: until for name, until in found.items() if until > now}


def locked(domain: str, timeout: float = 30.0) -> t.ContextManager[None]:
    """Hold the router of *domain* for oneself; raises Refused when somebody else keeps it for *timeout* seconds."""
    return lock(os.path.join(_LOCKS, f"vmatrix-router-{names.domain(domain)}.lock"), f"the router of {domain}", timeout)


def _path(domain: str, directory: str) -> str:
    return os.path.join(directory, f"{names.domain(domain)}.json")
