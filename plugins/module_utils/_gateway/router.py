# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Domain routers: comparing what is there with a document, applying it, removing a router, and looking at one."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import fence, ports, sizes
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names as core_names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import answers, connections, doubts, helpers, namespace, rules, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.announce import announce
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.document import (
    Document,
    Service,
    checked,
    left_members,
    merged,
    new_members,
    prepared,
    public_addresses,
    without_new,
)
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside


class Switch(t.Protocol):
    """What a router asks of the switch that its guests are on."""

    bridge: str

    def access_vlan(self, port: str) -> int | None: ...

    def guard_port(self, port: str, vlan: int, mac: str, addresses: t.Iterable[str], forwards: bool = False) -> None: ...

    def remove_port(self, port: str) -> None: ...

    def trunks(self) -> list[str]: ...


class Report(t.NamedTuple):
    """What was done (or would be, in check mode).

    Attributes:
        changed: whether anything differs from before.
        before: C(router), the document in force before, and C(drift), what no longer was as that document says.
        after: the same afterwards.
        waited: how long each new member took to answer.
        warnings: what is doubtful about those that have answered, in sentences.
    """

    changed: bool
    before: dict[str, t.Any]
    after: dict[str, t.Any]
    waited: list[answers.Waited]
    warnings: t.Sequence[str] = ()


class Seen(t.NamedTuple):
    """What is there of a router: its links, the VLAN of its port on the switch, and the digest of its rules; None for what is missing. And the ways to it."""

    links: namespace.Links | None
    vlan: int | None
    digest: str | None
    ways: namespace.Ways


def apply(desired: Document, *where: t.Any, asks: t.Collection[str] = (), answer_timeout: float = 0.0, dry_run: bool = False, **how: t.Any) -> Report:
    """Bring the router of a domain to what *desired* says, as brought() does, and wait for answers of those in the rotation who have lost their power since.

    Args:
        desired: the router document.
        where: where the router is, and
        how: further arguments, as brought() takes them.
        asks: the instances that have to answer also where they are in the rotation already; for them the rotation stays as it is.
        answer_timeout: seconds that they, and new members, have for that; 0 does not wait.
        dry_run: whether to only say what would change.

    Raises:
        What brought() raises.
    """
    report = brought(desired, *where, answer_timeout=answer_timeout, dry_run=dry_run, **how)
    if dry_run or answer_timeout <= 0:
        return report
    domain, called = desired["domain"], namespace.names(desired["domain"]).namespace
    answered = {each.instance for each in report.waited}
    late = [each for each in new_members(report.after["router"], None) if each["instance"] in asks and each["instance"] not in answered]
    if late:
        namespace.forget_neighbours(domain, [each["address"] for each in late])
        with state.call_off(domain, desired["generation"]) as called_off:
            report = report._replace(waited=[*report.waited, *answers.wait(called, late, answer_timeout, called_off)])
    return report._replace(warnings=doubts.of_published(report.after["router"], {each.instance for each in report.waited}, called)) if report.waited else report


def late(domain: str, instances: t.Collection[str], timeout: float, directory: str = state.DIRECTORY) -> list[str]:
    """Wait until those of *instances* that are in the rotation of a domain answer; return the names of those that do not within *timeout* seconds."""
    known = state.load(domain, directory)
    members = [each for each in new_members(known.document, None) if each["instance"] in instances] if known else []
    if not members:
        return []
    namespace.forget_neighbours(domain, [each["address"] for each in members])
    try:
        answers.wait(namespace.names(domain).namespace, members, timeout)
    except DeadlineExceeded as exc:
        answered = {each["instance"] for each in exc.result["waited"]}
        return sorted(each["instance"] for each in members if each["instance"] not in answered)
    return []


def forget(domain: str, addresses: t.Iterable[str], directory: str = state.DIRECTORY) -> None:
    """Forget all connections that former members at *addresses* served: they live elsewhere, and callers are to notice that at once."""
    if state.load(domain, directory):
        connections.close(namespace.names(domain).namespace, addresses)


def brought(
    desired: Document,
    switch_of: t.Callable[[str], Switch],
    bridge: str,
    wan: str,
    answer_timeout: float = 0.0,
    close_connections: bool = False,
    prepare: bool = False,
    dry_run: bool = False,
    directory: str = state.DIRECTORY,
    companion: t.Callable[[bool], t.Callable[[], t.Any]] | None = None,
    leases: t.Mapping[str, int] | None = None,
) -> Report:
    """Bring the router of a domain to what *desired* says.

    Args:
        desired: the router document.
        switch_of: finds the switch of a bridge's name.
        bridge: the bridge that its guests are on.
        wan: the interface that faces the world.
        answer_timeout: seconds that new members have for answering before they enter the rotation; 0 does not wait.
        close_connections: whether members that leave lose the connections that they still have.
        prepare: whether new members stay out of the rotation for now: the network is to be ready for them, and nobody has seen them answer.
        dry_run: whether to only say what would change.
        directory: where the states of the routers are kept.
        companion: brings what else lives in the router to what it must be (or foresees that); it is told whether *desired* is older than what is in force.
            Called once, with the router held, when its network is there: before new members are asked for an answer, else at the end. What it returns is
            called without the router, and waits until all of that is up. An error of either ends the call; new members are not in the rotation then.
        leases: the instances that whoever says *desired* has leased, each with the number of the lease. He speaks for these only, as document.merged() says;
            None is one who speaks for all. Nobody waits behind the router's lock for tunnels, or for the answers of new members.

    Raises:
        InvalidInput: the document is invalid.
        Refused: the router was changed under a later lease; or, without leases, a newer document is in force (the result says C(stale) then); or another
            router of this gateway, or the gateway itself, has the VLAN or a public address.
        DeadlineExceeded: a new member did not answer (Refused: somebody called the wait off); the network is ready for it, the rotation is as it was.
    """
    checked_in = checked(desired)
    domain = checked_in["domain"]
    switch = switch_of(bridge)
    namespace.check_wan(wan)
    with state.locked(domain):
        state.sweep_called_off(domain)
        known = state.load(domain, directory)
        previous = known.document if known else None
        document = _wanted(checked_in, known, leases, dry_run, prepare)
        older = previous is not None and checked_in["generation"] < previous["generation"]
        _refuse_conflicts(document, directory)
        seen = _observe(domain, known.wan_interface if known else wan, switch, [document, previous])
        wrong = _drift(known, seen) if known else []
        moved = known is not None and (known.wan_interface, known.bridge) != (wan, switch.bridge)
        before, after = {"router": previous, "drift": wrong}, {"router": document, "drift": []}
        changed = document != previous or bool(wrong) or moved
        acts = changed and not dry_run
        if acts and moved:
            _unplug(known, switch_of(known.bridge))
            seen = Seen(None, None, None, _ways(switch, wan))
        newcomers = new_members(document, previous) if acts and (companion or answer_timeout > 0) else []
        if newcomers:
            network = prepared(document, previous)
            if network != previous or wrong or moved:
                known = _enforce(network, known, seen, switch, wan, directory)
            namespace.forget_neighbours(domain, [member["address"] for member in newcomers])
        elif acts:
            _changed(document, previous, known, seen, switch, wan, directory, close_connections)
        up = companion(older) if companion else None
    # Nobody else waits for peers, or for guests.
    if up:
        up()
    if not newcomers:
        return Report(changed, before, after, [])
    waited = []
    if answer_timeout > 0:
        with state.call_off(domain, checked_in["generation"]) as called_off:
            waited = answers.wait(namespace.names(domain).namespace, newcomers, answer_timeout, called_off)
    with state.locked(domain):
        found = state.load(domain, directory)
        if found != known:
            # Another call came in between.
            document = _wanted(checked_in, found, leases, dry_run, prepare)
        seen = _observe(domain, wan, switch, [document, found.document if found else None])
        _changed(document, found.document if found else None, found, seen, switch, wan, directory, close_connections)
    return Report(True, before, {"router": document, "drift": []}, waited)


def _wanted(document: Document, known: state.State | None, leases: t.Mapping[str, int] | None, check: bool, prepare: bool = False) -> Document:
    """Return what a router is to be; raise Refused when that is outdated."""
    previous = known.document if known else None
    if leases is None:
        _refuse_stale(document["domain"], document["generation"], previous)
    else:
        fence.follow(leases, check)
        document = merged(document, previous, leases)
    return without_new(document, previous) if prepare else document


def _changed(
    document: Document,
    previous: Document | None,
    known: state.State | None,
    seen: Seen,
    switch: Switch,
    wan: str,
    directory: str,
    close_connections: bool,
) -> None:
    _enforce(document, known, seen, switch, wan, directory)
    # A TCP connection can wait for who left; a UDP flow would follow it for as long as its sender speaks.
    connections.close(namespace.names(document["domain"]).namespace, left_members(document, previous), None if close_connections else "udp")


def remove(
    domain: str,
    switch_of: t.Callable[[str], Switch],
    dry_run: bool = False,
    directory: str = state.DIRECTORY,
    companion: t.Callable[[], None] | None = None,
    generation: int | None = None,
    leases: t.Mapping[str, int] | None = None,
) -> Report:
    """Remove the router of a domain; what others than who says so have brought into it since stays.

    Args:
        domain: whose router.
        switch_of: finds the switch of a bridge's name.
        dry_run: whether to only say what would change.
        directory: where the states of the routers are kept.
        companion: removes what else lives in the router before it goes.
        generation: of the document that has no service left, if one says so.
        leases: the instances that whoever says so has leased, each with the number of the lease; None is one who speaks for all.

    Raises:
        Refused: the router was changed under a later lease; or, without leases, that document is older than the one in force (the result says C(stale)).
    """
    core_names.domain(domain)
    with state.locked(domain):
        known = state.load(domain, directory)
        if known and generation is not None:
            left = _wanted({"domain": domain, "generation": generation, "gateways": [], "services": []}, known, leases, dry_run)
            if left["services"]:
                switch = switch_of(known.bridge)
                seen = _observe(domain, known.wan_interface, switch, [left, known.document])
                if not dry_run and left != known.document:
                    _enforce(left, known, seen, switch, known.wan_interface, directory)
                drift = _drift(known, seen)
                return Report(left != known.document, {"router": known.document, "drift": drift}, {"router": left, "drift": []}, [])
        before, after = {"router": known.document if known else None, "drift": []}, {"router": None, "drift": []}
        if companion:
            companion()
        if known and not dry_run:
            _unplug(known, switch_of(known.bridge))
            state.forget(domain, directory)
        return Report(known is not None, before, after, [])


def restore(known: state.State, switch: Switch, directory: str = state.DIRECTORY) -> None:
    """Build a router as its state says, whatever is there of it: after a reboot nothing is. What *known* is by now, somebody else may have changed."""
    with state.locked(known.document["domain"]):
        found = state.load(known.document["domain"], directory)
        if found:
            seen = _observe(found.document["domain"], found.wan_interface, switch, [found.document])
            _enforce(found.document, found, seen, switch, found.wan_interface, directory)


def drift(known: state.State, switch: Switch) -> list[str]:
    """Return which parts of a router are not as its document says: C(links), C(access port), C(rules); all of them when it is gone."""
    return _drift(known, _observe(known.document["domain"], known.wan_interface, switch, [known.document]))


def look(known: state.State, switch: Switch) -> dict[str, t.Any]:
    """Return the document in force with each member's live C(connections) and health, the connections of members that left (C(leaving)), and C(drift)."""
    seen = _observe(known.document["domain"], known.wan_interface, switch, [known.document])
    live = connections.live(namespace.names(known.document["domain"]).namespace) if seen.links else {}
    services = []
    for service in known.document["services"]:
        counts: dict[str, int] = {}
        for connection, number in live.items():
            if connection.public_address == service["public_address"] and _declared(service, connection):
                counts[connection.member] = counts.get(connection.member, 0) + number
        members = [
            {**member, "connections": counts.pop(member["address"], 0), "healthy": member["address"] not in known.down} for member in service["members"]
        ]
        leaving = [{"address": address, "connections": number} for address, number in sorted(counts.items())]
        services.append({**service, "members": members, "leaving": leaving})
    wrong = _drift(known, seen)
    return {**known.document, "services": services, "drift": bool(wrong), "drifted": wrong}


def _declared(service: Service, connection: connections.Connection) -> bool:
    return any(port["protocol"] == connection.protocol and ports.covers(port, connection.port) for port in service["ports"])


def _observe(domain: str, wan: str, switch: Switch, documents: list[Document | None]) -> Seen:
    """Look at a domain's router; on the WAN interface only the public addresses of *documents* are looked for."""
    called = namespace.names(domain)
    links = namespace.observe(domain, wan, {address for document in documents if document for address in public_addresses(document)})
    return Seen(links, switch.access_vlan(called.port), _rules_digest(called.namespace) if links else None, _ways(switch, wan))


def _ways(switch: Switch, wan: str) -> namespace.Ways:
    return namespace.Ways(min([sizes.USUAL, *map(sizes.carried_by, switch.trunks())]), sizes.carried_by(wan))


def _drift(known: state.State, seen: Seen) -> list[str]:
    want = namespace.wanted(known.document, seen.ways)
    links = seen.links and seen.links._replace(proxies=tuple(address for address in seen.links.proxies if address in want.proxies))
    as_written = seen.digest == known.digest and known.written == rules.written(rules.render(known.document, known.down))
    found = {"links": links == want, "access port": seen.vlan == known.document["vlan"], "rules": as_written}
    return [part for part, well in found.items() if not well]


def _enforce(document: Document, known: state.State | None, seen: Seen, switch: Switch, wan: str, directory: str) -> state.State:
    """Make everything as *document* says and remember it; rules come before links, so that no packet passes unfiltered."""
    domain, called, want = document["domain"], namespace.names(document["domain"]), namespace.wanted(document, seen.ways)
    if seen.links is None:
        namespace.create(domain)
    down = _still_down(document, known)
    text, digest = rules.render(document, down), seen.digest
    if known is None or digest != known.digest or rules.written(text) != known.written:
        helpers.load(document)
        call_inside(called.namespace, functools.partial(run, ["nft", "-f", "-"], stdin=text))
        digest = _rules_digest(called.namespace)
    if seen.links is None:
        namespace.connect(domain)
        # The switch may still remember a port of this name whose interface has gone; that one would stay deaf.
        switch.remove_port(called.port)
    if seen.links is None or seen.vlan != document["vlan"] or known is None or document["gateways"] != known.document["gateways"]:
        switch.guard_port(called.port, document["vlan"], namespace.MAC, document["gateways"], forwards=True)
    if seen.links != want:
        announce(wan, namespace.arrange(domain, wan, want, namespace.bare(seen.links)))
    new = state.State(document, digest, wan, switch.bridge, down, rules.written(text))
    if new != known:
        state.save(new, directory)
    return new


def judge(known: state.State, down: t.Collection[str], directory: str = state.DIRECTORY) -> state.State:
    """Take the members at the addresses *down* out of rotation, and all others into it; those that leave lose their connections, for others can answer.

    The caller holds the router, and *known* is its state.
    """
    document, called = known.document, namespace.names(known.document["domain"]).namespace
    text = rules.render(document, down)
    call_inside(called, functools.partial(run, ["nft", "-f", "-"], stdin=text))
    new = known._replace(digest=_rules_digest(called), down=tuple(sorted(down)), written=rules.written(text))
    state.save(new, directory)
    connections.close(called, sorted(_in_rotation(document, known.down) - _in_rotation(document, down)))
    return new


def _in_rotation(document: Document, down: t.Collection[str]) -> set[str]:
    return {address for service in document["services"] for address in rules.rotation(service, down)}


def _still_down(document: Document, known: state.State | None) -> tuple[str, ...]:
    """Return the addresses that stay out of rotation under a new document: who is new in it has not been judged yet."""
    if known is None:
        return ()
    new = {member["address"] for member in new_members(document, known.document)}
    there = {member["address"] for service in document["services"] for member in service["members"]}
    return tuple(address for address in known.down if address in there - new)


def _unplug(known: state.State, switch: Switch) -> None:
    domain = known.document["domain"]
    namespace.withdraw(known.wan_interface, public_addresses(known.document))
    switch.remove_port(namespace.names(domain).port)
    namespace.remove(domain)


def _rules_digest(called: str) -> str | None:
    listed = call_inside(called, functools.partial(run, ["nft", "-j", "list", "table", "inet", rules.TABLE], check=False))
    return rules.digest(listed.stdout) if listed.returncode == 0 else None


def _refuse_stale(domain: str, generation: int, previous: Document | None) -> None:
    if previous and generation < previous["generation"]:
        raise Refused(
            f"The document of generation {generation} for the router of {domain} is older than the one in force, of generation {previous['generation']}: "
            f"either another operation of {domain} was faster (run this one again), or the registry was restored from a copy (rebuild it).",
            {"stale": True},
        )


def _refuse_conflicts(document: Document, directory: str) -> None:
    own = {address: interface for interface, addresses in namespace.host_addresses().items() for address in addresses}
    for address in public_addresses(document):
        if address in own:
            raise Refused(f"The public address {address} is the gateway's own on {own[address]}; taking it would cut the gateway off.")
    for other in state.load_all(directory):
        owner = other.document["domain"]
        if owner == document["domain"]:
            continue
        if other.document["vlan"] == document["vlan"]:
            raise Refused(f"VLAN {document['vlan']} belongs to the router of {owner} on this gateway.")
        taken = sorted(set(public_addresses(document)) & set(public_addresses(other.document)))
        if taken:
            raise Refused(f"The public address {taken[0]} belongs to the router of {owner} on this gateway.")
