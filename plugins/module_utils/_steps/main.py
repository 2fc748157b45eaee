# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Carry out the calls of an operation on this device: a JSON text on standard input, one on standard output.

In come C(calls), each with C(ids), C(call), C(arguments), C(check), C(reserves), C(goes_on), whether the next one is made even if it fails, C(quiet),
whether its result is for later calls of these only, and C(secret), whether it is kept out of the journal; and the id of the C(run) in whose journal they are
written down, if they are to be. Out come C(answers), one for each call up to the first that failed: C(ids), C(changed), C(failed),
C(msg), C(result), C(before), C(after) and C(seconds).
Arguments may hold C({"_answer": [id, ...path]}): a part of what an earlier call of these answered. A C(lease) among them goes on with what earlier calls
were granted.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.journal import Journal

#: Where each call is found, in this room.
CALLS = {
    "answers": ("router", "answers"),
    "authority": ("certificates", "authority"),
    "awake": ("instances", "awake"),
    "bring": ("transfers", "bring"),
    "call_off": ("router", "call_off"),
    "capsules": ("capsules", "look"),
    "certificate": ("certificates", "certificate"),
    "consent": ("vma", "consent"),
    "drain": ("router", "drain"),
    "engines": ("engines", "install"),
    "evidence": ("instances", "evidence"),
    "forget": ("router", "forget"),
    "hand_over": ("cutovers", "hand_over"),
    "hear": ("vma", "hear"),
    "history": ("vma", "history"),
    "hn": ("vma", "declare"),
    "hold": ("vma", "hold"),
    "holdings": ("instances", "holdings"),
    "host": ("host", "compare"),
    "instances": ("instances", "ensure"),
    "journal": ("journal", "look"),
    "key": ("zones", "key"),
    "lease": ("vma", "lease"),
    "look": ("vma", "look"),
    "name": ("names", "follow"),
    "offer": ("offers", "offer"),
    "peers": ("peers", "look"),
    "publish": ("publishing", "publish"),
    "readmit": ("vma", "readmit"),
    "ready": ("instances", "ready"),
    "record": ("vma", "record"),
    "records": ("records", "ensure"),
    "release": ("vma", "release"),
    "remove_capsule": ("capsules", "remove"),
    "responder": ("responder", "ensure"),
    "room": ("capsules", "room"),
    "router": ("router", "apply"),
    "routers": ("router", "look"),
    "running": ("instances", "look"),
    "spare": ("router", "spare"),
    "steering": ("names", "look"),
    "stop_waiting": ("cutovers", "stop_waiting"),
    "subscribe": ("vma", "subscribe"),
    "subscriptions": ("vma", "subscriptions"),
    "switch": ("switch", "ensure"),
    "transfers": ("capsules", "transfers"),
    "unpack_tunnel": ("capsules", "unpack"),
    "vouch": ("vma", "vouch"),
    "ways": ("ways", "look"),
    "peer_ways": ("transfers", "ways"),
    "wrap_tunnel": ("tunnels", "wrap"),
    "wrapping_key": ("tunnels", "key"),
    "zone": ("zones", "zone"),
}


def carry_out(calls: t.Sequence[t.Mapping[str, t.Any]], journal: Journal | None = None) -> list[dict[str, t.Any]]:
    """Make the calls in their order, up to the first that fails, and return their answers; each is written down in the journal, if there is one."""
    answers: list[dict[str, t.Any]] = []
    known: dict[str, t.Any] = {}
    granted: dict[str, int] = {}
    for call in calls:
        if journal:
            journal.begin(call["ids"])
        began = time.monotonic()
        try:
            outcome = _act(call["call"])(_leased(_filled(call["arguments"], known), granted), call["check"])
        except MeshError as exc:
            failed = {"ids": call["ids"], "changed": False, "failed": True, "msg": exc.message, "result": exc.result}
            answers.append({**failed, "seconds": round(time.monotonic() - began, 4), "exception": traceback.format_exc()})
            if journal:
                journal.end(failed, call.get("secret", False))
            if call.get("goes_on"):
                continue
            return answers
        known.update(dict.fromkeys(call["ids"], outcome.result))
        granted.update(outcome.result.get("leased", {}))
        answers.append({**_shown(call, outcome), "seconds": round(time.monotonic() - began, 4)})
        if journal:
            journal.end({key: value for key, value in answers[-1].items() if key not in ("before", "after")}, call.get("secret", False))
        if call["check"] and call.get("reserves") and outcome.changed:
            # What is not really reserved cannot be asked about.
            break
    return answers


def _act(name: str) -> t.Callable[[t.Mapping[str, t.Any], bool], Outcome]:
    """Return the call of that name; only what it needs is imported."""
    room, function = CALLS[name]
    module = importlib.import_module(f"{__package__}.{room}")
    for library, problem in getattr(module, "LIBRARIES", ()):
        if problem is not None:
            raise MeshError(f"The Python library {library} cannot be used on this host: {problem.strip().splitlines()[-1]}.")
    return getattr(module, function)


def _filled(value: t.Any, known: t.Mapping[str, t.Any]) -> t.Any:
    if isinstance(value, dict) and set(value) == {"_answer"}:
        step, *path = value["_answer"]
        found = known[step]
        for key in path:
            found = found[key]
        return found
    if isinstance(value, dict):
        return {key: _filled(part, known) for key, part in value.items()}
    return [_filled(part, known) for part in value] if isinstance(value, list) else value


def _leased(arguments: t.Any, granted: t.Mapping[str, int]) -> t.Any:
    lease = arguments.get("lease")
    if not lease or not granted:
        return arguments
    numbers = {**lease["numbers"], **{name: max(number, lease["numbers"].get(name, 0)) for name, number in granted.items()}}
    return {**arguments, "lease": {**lease, "numbers": numbers}}


def _shown(call: t.Mapping[str, t.Any], outcome: Outcome) -> dict[str, t.Any]:
    shown = {"before": outcome.before, "after": outcome.after} if outcome.changed else {}
    result = {} if call.get("quiet") else outcome.result
    return {"ids": call["ids"], "changed": outcome.changed, "failed": False, "msg": "", "result": result, **shown}


def main() -> None:
    """Carry out what standard input says."""
    asked = json.load(sys.stdin)
    json.dump({"answers": carry_out(asked["calls"], Journal(asked["run"]) if asked.get("run") else None)}, sys.stdout)


if __name__ == "__main__":
    main()
