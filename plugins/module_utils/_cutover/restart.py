# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Starting again what ran here when this RM lost its power or was rebooted, at boot: C(python3 -m ..._cutover.restart).

What may be started only the VMA knows: it is asked until it has said so of each instance. While it does not answer nothing is started.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import paths
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import this_host
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import several, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.instance import Wanted

SETTINGS = f"{paths.CONFIG}/restart.json"
#: Seconds of its lease that an RM keeps for a start that hangs.
SPARE = 90.0
#: Seconds until the VMA is asked again, at first and at most.
PAUSES = (5.0, 60.0)
#: Seconds that the VMA may take for an answer.
TIMEOUT = 75.0

Ask = t.Callable[[t.Mapping[str, t.Any]], t.Dict[str, t.Any]]


class Settings(t.NamedTuple):
    """How instances are started again.

    Attributes:
        first: services (C(db.example.com)) whose instances come before all others, in this order.
        delay: seconds from one start to the next.
        patience: seconds after which those are left alone that the VMA has not said anything of.
    """

    first: t.Sequence[str] = ()
    delay: float = 0.0
    patience: float = 3600.0


def powerless(host: state.Host) -> dict[str, int]:
    """Return the epoch of each instance that this RM may run, but that does not live. What may be paused where it was going is not one of them."""
    return {found.name: found.epoch.number for found in state.find_all(host) if found.state == "stopped" and found.epoch.here and not state.leaves(found)}


def restart(host: state.Host, settings: Settings, asks: Ask) -> dict[str, str]:
    """Start what the VMA says of what does not live here, and return why the rest was not started, by instance."""
    why: dict[str, str] = {}
    left, end, pause = powerless(host), time.monotonic() + settings.patience, PAUSES[0]
    while left:
        asked = time.monotonic()
        try:
            told = asks({"restart": left})
        except MeshError as exc:
            told = {"granted": {}, "later": dict.fromkeys(left, exc.message), "never": {}}
        started = _start(host, settings, told, left, asked)
        if "run" in told:
            # Should this not arrive, the lease ends by itself.
            with contextlib.suppress(MeshError):
                asks({"ended": told["run"]})
        ended = {**told["never"], **started}
        why.update({**told["later"], **ended})
        for name, reason in sorted(ended.items()):
            logging.log(logging.WARNING if reason else logging.INFO, "%s", reason or f"{name} was started again.")
        waiting = set(left) - set(ended)
        if not waiting or time.monotonic() + pause > end:
            break
        logging.info("%s", " ".join(dict.fromkeys(told["later"].values())) or "The rest comes next.")
        time.sleep(0 if started else pause)
        pause = min(pause * 2, PAUSES[1])
        left = {name: epoch for name, epoch in powerless(host).items() if name in waiting}
    # What an operation has started meanwhile needs no reason.
    still = powerless(host)
    return {name: reason for name, reason in why.items() if reason and name in still}


def _start(host: state.Host, settings: Settings, told: t.Mapping[str, t.Any], epochs: t.Mapping[str, int], asked: float) -> dict[str, str]:
    """Start what was granted, one after the other, as far as there is time for it; return what went wrong with each, or an empty text."""
    done: dict[str, str] = {}
    if not told["granted"]:
        return done
    for name in sorted(told["granted"], key=lambda name: _order(settings, name)):
        if done:
            time.sleep(settings.delay)
        if time.monotonic() > asked + told["seconds"] - SPARE:
            # By the time that it runs somebody else could have come to it.
            break
        wanted = Wanted(name, "running", epochs[name], lease=told["granted"][name])
        error = several.ensure_all(host, [wanted])[0].error
        done[name] = error.message if error else ""
    return done


def _order(settings: Settings, name: str) -> tuple[int, str, int]:
    of = names.instance(name)
    service = f"{of.service}.{of.domain}"
    return (settings.first.index(service) if service in settings.first else len(settings.first), service, of.ordinal)


def ask(question: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Ask the VMA, by the way to it that stands in the file paths.WAYS.

    Raises:
        MeshError: it cannot be reached, or refuses.
    """
    options = [
        f"UserKnownHostsFile={paths.CONFIG}/known_hosts",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "ConnectTimeout=10",
        "ServerAliveInterval=5",
    ]
    words = [word for option in options for word in ("-o", option)]
    said = run(["ssh", "-T", "-a", "-x", "-F", paths.WAYS, *words, "vmatrix-vma"], json.dumps(question), TIMEOUT).stdout
    try:
        answer: dict[str, t.Any] = json.loads(said)
    except ValueError as exc:
        raise CommandFailed("The VMA gave no answer that can be understood.") from exc
    if "error" in answer:
        raise MeshError(answer["error"])
    return answer


def main() -> int:
    """Start what may be started; an RM whose libvirt is not there yet is tried once more by the unit."""
    try:
        settings = Settings(**read_json(SETTINGS))
        left = restart(this_host(), settings, ask)
    except MeshError as exc:
        logging.error("%s", exc)
        return 1
    for reason in dict.fromkeys(left.values()):
        logging.warning("%s", reason)
    return 0


if __name__ == "__main__":
    # The journal adds time and unit to each line.
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    raise SystemExit(main())
