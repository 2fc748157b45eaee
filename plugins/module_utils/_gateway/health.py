# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Whether members of rotations are alive: C(python3 -m ..._gateway.health) takes dead ones out and puts them back when they answer again.

A member is asked on each of its declared TCP ports, for a connection or for a page: what its service's balance says. It is down after FALL failures
in a row and up after RISE successes, so that one lost packet changes nothing. One that says nothing is noticed after two periods and two waits at
most, one that refuses sooner.
"""

from __future__ import annotations

import concurrent.futures
import logging
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import archive
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import answers, namespace, router, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import enter

#: Seconds between two rounds, and seconds that a member has for its answer.
PERIOD, WAIT = 0.5, 0.8
FALL, RISE = 2, 2
_MOST_THREADS = 64

Member = t.Tuple[str, str]


class Record(t.NamedTuple):
    """What is known of one member: whether it is down, and how many answers in a row have said otherwise."""

    down: bool
    against: int = 0


def judged(record: Record, answered: bool) -> Record:
    """Return the record of a member after one more check."""
    if answered is not record.down:
        return Record(record.down)
    against = record.against + 1
    return Record(not record.down) if against >= (RISE if record.down else FALL) else Record(record.down, against)


def ask(known: state.State) -> dict[str, bool]:
    """Ask all members of a router at the same time; return whether each, by address, answered on all its TCP ports. Members without any are not asked."""
    targets = sorted(
        {
            (member["address"], port["port"], answers.check_of(service))
            for service in known.document["services"]
            for member in service["members"]
            for port in service["ports"]
            if port["protocol"] == "tcp"
        }
    )
    if not targets:
        return {}
    called, end = namespace.names(known.document["domain"]).namespace, time.monotonic() + WAIT
    with concurrent.futures.ThreadPoolExecutor(min(len(targets), _MOST_THREADS), initializer=enter, initargs=(called,)) as pool:
        problems = list(pool.map(lambda target: answers.ask(*target, end), targets))
    verdict: dict[str, bool] = {}
    for (address, _port, _check), problem in zip(targets, problems):
        verdict[address] = verdict.get(address, True) and problem is None
    return verdict


def keep(records: dict[Member, Record], directory: str = state.DIRECTORY) -> list[str]:
    """Ask all members of all routers once, act on what has become certain, and return in words what was done.

    Args:
        records: what is known of each member by domain and address; brought up to date.
        directory: where the states of the routers are kept.
    """
    done = []
    there: set[Member] = set()
    for known in state.load_all(directory):
        domain = known.document["domain"]
        for address, answered in ask(known).items():
            there.add((domain, address))
            records[domain, address] = judged(records.get((domain, address), Record(address in known.down)), answered)
        done += _act(domain, {address for owner, address in there if owner == domain and records[owner, address].down}, directory)
    for gone in set(records) - there:
        del records[gone]
    return done


def _act(domain: str, down: set[str], directory: str) -> list[str]:
    try:
        # Whoever works on the router goes first; what was seen will be seen again.
        with state.locked(domain, timeout=0):
            known = state.load(domain, directory)
            members = {member["address"] for service in known.document["services"] for member in service["members"]} if known else set()
            if known is None or set(known.down) == down & members:
                return []
            router.judge(known, down & members, directory)
            changed = set(known.down) ^ (down & members)
            return [f"{address} of {domain} is {'down' if address in down else 'up again'}" for address in sorted(changed)]
    except Refused:
        return []


def main() -> None:
    """Go on until there are newer engines; the unit starts them."""
    records: dict[Member, Record] = {}
    engines = archive.version()
    while archive.version() == engines:
        began = time.monotonic()
        try:
            for words in keep(records):
                logging.info("%s.", words)
        except (MeshError, OSError) as exc:
            logging.error("%s", exc)
        time.sleep(max(0.0, began + PERIOD - time.monotonic()))


if __name__ == "__main__":
    # The journal adds time and unit to each line.
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main()
