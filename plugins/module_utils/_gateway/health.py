# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Whether members of rotations are alive: C(python3 -m ..._gateway.health) takes dead ones out and puts them back when they answer again.

What is asked of a member, how often, and for how long, says its service's balance. It is down after so many failures in a row and up after RISE successes,
so that one lost packet changes nothing. Each router is looked after in a thread of its own, from inside its namespace: nobody waits for another domain's
members.
"""

from __future__ import annotations

import concurrent.futures
import functools
import logging
import os
import threading
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import archive, balance
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import answers, inside, namespace, router, state

#: Seconds after which it is looked again which routers there are, and how one was changed.
PERIOD = 0.25
RISE = 2
_MOST_THREADS = 64

#: The domain of a router, and what tells its namespace from one that was called the same before.
Router = t.Tuple[str, int]


class Target(t.NamedTuple):
    """Whom to ask, and for what."""

    address: str
    check: balance.Check


class Record(t.NamedTuple):
    """What is known of a target: whether it is down, and how many answers in a row have said otherwise."""

    down: bool
    against: int = 0


def judged(record: Record, answered: bool, failures: int) -> Record:
    """Return the record of a target after one more attempt; *failures* in a row are needed for taking it for dead."""
    if answered is not record.down:
        return Record(record.down)
    against = record.against + 1
    return Record(not record.down) if against >= (RISE if record.down else failures) else Record(record.down, against)


def targets(document: t.Mapping[str, t.Any]) -> set[Target]:
    """Return whom to ask of the members of a router document, and for what."""
    return {
        Target(member["address"], balance.check_of(service.get("balance"), service["ports"]))
        for service in document["services"]
        for member in service["members"]
    }


class Watch:
    """Looks after the members of one router.

    Args:
        domain: whose router.
        directory: where the states of the routers are kept.
    """

    def __init__(self, domain: str, directory: str = state.DIRECTORY) -> None:
        self._domain, self._directory = domain, directory
        self._records: dict[Target, Record] = {}
        self._due: dict[Target, float] = {}
        self._asked: dict[Target, concurrent.futures.Future[bool]] = {}
        #: Those that stood still while they were spared, and those that have come back from that, by the moment when the sparing ends.
        self._stood: dict[Target, float] = {}
        self._back: dict[Target, float] = {}
        self._over = threading.Event()
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._thread = threading.Thread(target=self._go_on, name=domain, daemon=True)

    def start(self) -> Watch:
        """Look until stop() is called, in a thread of its own."""
        self._thread.start()
        return self

    def alive(self) -> bool:
        """Whether it looks on."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()

    def look(self) -> list[str]:
        """Ask whoever is due, act on what has become certain, and return in words what was done."""
        known = state.load(self._domain, self._directory)
        there = targets(known.document) if known else set()
        for kept in (self._records, self._due, self._asked, self._stood, self._back):
            for gone in set(kept) - there:
                del kept[gone]
        if known is None:
            return []
        for new in there - set(self._records):
            self._records[new] = Record(new.address in known.down)
        self._hear(known)
        self._ask(there)
        down = {target.address for target in there if self._records[target].down}
        return self._act(down) if down != set(known.down) else []

    def _hear(self, known: state.State) -> None:
        """Judge those who have answered, or have not in their time."""
        heard = [target for target, asked in self._asked.items() if asked.done()]
        spared = self._spared(known) if heard else {}
        for target in heard:
            answered = self._asked.pop(target).result()
            if not self._stands_still(target, spared.get(target.address), answered):
                self._records[target] = judged(self._records[target], answered, target.check.failures)

    def _stands_still(self, target: Target, until: float | None, answered: bool) -> bool:
        """Whether a target that is spared *until* a moment need not answer yet: who has come back from standing still has to, even before that."""
        if until is None or self._back.get(target) == until:
            return False
        if not answered:
            self._stood[target] = until
        elif self._stood.get(target) == until:
            self._back[target] = until
        return not answered

    def _spared(self, known: state.State) -> dict[str, float]:
        """Return the addresses of those who may stand still, and until when."""
        named = state.spared(self._domain)
        members = [member for service in known.document["services"] for member in service["members"] if member["instance"] in named]
        return {member["address"]: named[member["instance"]] for member in members}

    def _ask(self, there: t.Collection[Target]) -> None:
        """Ask those whose time has come and who do not owe an answer."""
        now = time.monotonic()
        due = sorted(target for target in there if target not in self._asked and self._due.get(target, now) <= now)
        if due and self._pool is None:
            enter = functools.partial(inside.enter, namespace.names(self._domain).namespace)
            self._pool = concurrent.futures.ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix=self._domain, initializer=enter)
        for target in due:
            self._due[target] = now + target.check.interval
            self._asked[target] = t.cast(concurrent.futures.ThreadPoolExecutor, self._pool).submit(_answers, target)

    def _act(self, down: set[str]) -> list[str]:
        try:
            # Whoever works on the router goes first; what was seen will be seen again.
            with state.locked(self._domain, timeout=0):
                known = state.load(self._domain, self._directory)
                members = {member["address"] for service in known.document["services"] for member in service["members"]} if known else set()
                if known is None or set(known.down) == down & members:
                    return []
                router.judge(known, down & members, self._directory)
                changed = set(known.down) ^ (down & members)
                return [f"{address} of {self._domain} is {'down' if address in down else 'up again'}" for address in sorted(changed)]
        except Refused:
            return []

    def _go_on(self) -> None:
        while not self._over.is_set():
            try:
                for words in self.look():
                    logging.info("%s.", words)
            except (MeshError, OSError, concurrent.futures.BrokenExecutor) as exc:
                logging.error("%s: %s", self._domain, exc)
                # Threads that could not enter the namespace never will.
                self._close()
                self._over.wait(PERIOD)
            now = time.monotonic()
            pause = max(0.01, min([PERIOD, *(due - now for target, due in self._due.items() if target not in self._asked)]))
            if self._asked:
                concurrent.futures.wait(self._asked.values(), pause, concurrent.futures.FIRST_COMPLETED)
            else:
                self._over.wait(pause)
        self._close()

    def _close(self) -> None:
        """Forget what was asked; nobody waits for it."""
        self._asked.clear()
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _answers(target: Target) -> bool:
    return answers.ask(target.address, target.check, time.monotonic() + target.check.timeout) is None


def routers() -> set[Router]:
    """Return the routers that there are."""
    found = set()
    for known in state.load_all():
        domain = known.document["domain"]
        try:
            found.add((domain, os.stat(os.path.join(inside.NAMESPACES, namespace.names(domain).namespace)).st_ino))
        except FileNotFoundError:
            # It is not there yet, or not any more.
            continue
    return found


def follow(watches: dict[Router, Watch], there: set[Router]) -> None:
    """Have a watch for each router that is *there*, and for no other one; what ended by an error begins anew."""
    for each_router in [each for each, watch in watches.items() if each not in there or not watch.alive()]:
        watches.pop(each_router).stop()
    for each_router in there - set(watches):
        watches[each_router] = Watch(each_router[0]).start()


def main() -> None:
    """Go on until there are newer engines; the unit starts them."""
    watches: dict[Router, Watch] = {}
    engines = archive.version()
    while archive.version() == engines:
        try:
            follow(watches, routers())
        except (MeshError, OSError) as exc:
            logging.error("%s", exc)
        time.sleep(PERIOD)


if __name__ == "__main__":
    # The journal adds time and unit to each line.
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main()
    # Nobody needs the answers that threads wait for.
    logging.shutdown()
    os._exit(0)
