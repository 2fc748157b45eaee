# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Bringing an endpoint to what its documents say, waiting until a tunnel is up, and taking it away again."""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, InvalidInput, MeshError, NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import write_atomic
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import charon, connection, device, handover, pki, plan, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.document import RESPONDER, Document, checked_responder, checked_tunnel
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.observe import Seen, drift, inside, kernel, missing, observe, outline, plan_of, rules_digest
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.session import Session, opened
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.state import Endpoint

#: Seconds that a daemon has for starting.
_START = 15.0
#: Seconds within which a peer says why it refuses.
_WORD = 0.5


class Report(t.NamedTuple):
    """What was done (or would be, in a dry run): the documents' outlines before and after, with what was not as they say."""

    changed: bool
    before: dict[str, t.Any]
    after: dict[str, t.Any]
    waited: float


#: Waits until a tunnel is up, and returns the seconds that it took.
Wait = t.Callable[[], float]


def apply_tunnel(endpoint: Endpoint, desired: Document, timeout: float, dry_run: bool = False) -> Report:
    """Bring the tunnel of one service to what *desired* says, and wait until each of its instances has its way through it.

    Args:
        endpoint: where it ends on this gateway.
        desired: the tunnel document.
        timeout: seconds until it must be up; 0 does not wait.
        dry_run: whether to only say what would change.

    Raises:
        InvalidInput: the document is invalid, or contradicts another tunnel of the domain.
        NotFound: the domain has no router here, or the gateway no wrapping key.
        Refused: the certificate has expired, or its key cannot be had.
        DeadlineExceeded: it did not come up, and why; everything is as it was before.
    """
    document = checked_tunnel(desired)
    return _apply(endpoint, document["service"], document, timeout, dry_run)


def renew(endpoint: Endpoint, service: str, parcel: dict[str, t.Any], timeout: float, dry_run: bool = False) -> Report:
    """Give the tunnel of a service another certificate and revocation list, or another pre-shared key; a service without a tunnel here is left alone.

    Args:
        endpoint: where it ends on this gateway.
        service: the service.
        parcel: C(certificate) (None for a pre-shared key), C(envelope) and C(crl).
        timeout: as for C(apply_tunnel), which also says what is raised.
        dry_run: whether to only say what would change.

    Raises:
        InvalidInput: the tunnel goes by the other of the two.
    """
    known = state.load(endpoint).get(service)
    if known is None:
        return Report(False, {"tunnel": None, "drift": []}, {"tunnel": None, "drift": []}, 0.0)
    if bool(parcel["certificate"]) != bool(known["local"]["certificate"]):
        has, lacks = ("certificates", "a pre-shared key") if known["local"]["certificate"] else ("a pre-shared key", "certificates")
        raise InvalidInput(f"The tunnel of {service}.{endpoint.domain} goes by {has}; for one that goes by {lacks}, import a new version and place that.")
    everywhere = {"identity": known["local"].get("identity"), **{part: known[part] for part in ("backends", "inbound")}}
    taken = handover.brought({**parcel, **everywhere, "peer": {**known["peer"], "crl": parcel["crl"]}}, known, endpoint.directory)
    local = {key: value for key, value in taken["local"].items() if value is not None}
    return apply_tunnel(endpoint, {**known, **taken, "local": {**local, "address": known["local"]["address"]}}, timeout, dry_run)


def begin_tunnels(
    endpoint: Endpoint, desired: t.Sequence[Document], sure: t.Collection[str], timeout: float, dry_run: bool = False
) -> tuple[Report, Wait]:
    """Make the tunnels of a domain exactly these; what merely goes, goes whatever peers do.

    Args:
        endpoint: where they end on this gateway.
        desired: the tunnel documents; none takes the daemon away.
        sure: services whose tunnels have to be up altogether; without an instance, at least its ends must know each other.
        timeout: seconds for that; 0 does not wait.
        dry_run: whether to only say what would change.

    Returns:
        A report with C(tunnels), outlines by service, in the place of C(tunnel); and what waits until all that is new is up, while others may change what they
        will: it raises what C(apply_tunnel) raises, and what it has waited for is as it was before then.

    Raises:
        What C(apply_tunnel) raises; everything is as it was before.
    """
    documents = [checked_tunnel(document) for document in desired]
    wanted = {document["service"]: document for document in documents}
    with state.locked(endpoint, dry_run):
        known = state.load(endpoint)
        if not known and not wanted:
            return Report(False, {"tunnels": {}, "drift": []}, {"tunnels": {}, "drift": []}, 0.0), _at_once
        _refuse_unready(endpoint, [document for document in documents if known.get(document["service"], {}).get("local") != document["local"]])
        for name, document in wanted.items():
            _refuse_conflicts(name, document, {**known, **wanted} if RESPONDER in known else wanted)
        awaited = {name: document if name in sure else _new_part(document, known.get(name)) for name, document in wanted.items()}
        mine = plan_of(endpoint, {name: document for name, document in awaited.items() if document}).connections
        changed, wrong, wait = _change(endpoint, wanted, known, mine, sure, timeout, dry_run)
        before = {"tunnels": {name: outline(document) for name, document in known.items()}, "drift": wrong}
        return Report(changed, before, {"tunnels": {name: outline(document) for name, document in wanted.items()}, "drift": []}, 0.0), wait


def apply_responder(endpoint: Endpoint, desired: Document, dry_run: bool = False) -> Report:
    """Bring the owner's VPN gateway to what *desired* says; raises like C(apply_tunnel)."""
    return _apply(endpoint, RESPONDER, checked_responder(desired), 0, dry_run)


def remove(endpoint: Endpoint, name: str, dry_run: bool = False) -> Report:
    """Remove a service's tunnel (or, as C(document.RESPONDER), the responder); the last one takes the daemon with it."""
    with state.locked(endpoint, dry_run):
        known = state.load(endpoint)
        before = {"tunnel": outline(known.get(name)), "drift": []}
        if name in known and not dry_run:
            rest = {other: document for other, document in known.items() if other != name}
            _enforce(endpoint, rest, known)
        return Report(name in known, before, {"tunnel": None, "drift": []}, 0.0)


def restore(endpoint: Endpoint) -> bool:
    """Repair what is not as the documents say, without waiting for a peer; return whether anything was. Needs the lock."""
    known = state.load(endpoint)
    if not known or not drift(endpoint, known):
        return False
    _enforce(endpoint, known, known)
    return True


def _apply(endpoint: Endpoint, name: str, document: Document, timeout: float, dry_run: bool) -> Report:
    if not endpoint.reachable:
        raise NotFound(f"There is no router of {endpoint.domain} on this gateway yet; a tunnel needs one.")
    _refuse_unready(endpoint, [document])
    with state.locked(endpoint, dry_run):
        known = state.load(endpoint)
        _refuse_conflicts(name, document, known)
        mine = plan_of(endpoint, {name: document}).connections
        changed, wrong, wait = _change(endpoint, {**known, name: document}, known, mine, [name], timeout, dry_run)
    return Report(changed, {"tunnel": outline(known.get(name)), "drift": wrong}, {"tunnel": outline(document), "drift": []}, wait())


def _change(
    endpoint: Endpoint,
    wanted: dict[str, Document],
    known: dict[str, Document],
    mine: dict[str, connection.Connection],
    sure: t.Collection[str],
    timeout: float,
    dry_run: bool,
) -> tuple[bool, list[str], Wait]:
    """Go from *known* to *wanted*; return whether anything changes, what was not as it should be, and what waits for *mine*, without the lock."""
    wrong = drift(endpoint, known) if known else []
    if timeout > 0 and any(name in known for name in sure):
        wrong += _down(endpoint, {name: one for name, one in mine.items() if name in known and name in sure})
    changed = wanted != known or bool(wrong)
    if dry_run or not changed:
        return changed, wrong, _at_once
    start = time.monotonic()
    replaced = _replaced(endpoint, wanted, known)
    try:
        if wanted != known or wrong != ["tunnel"]:
            _enforce(endpoint, wanted, known)
    except MeshError:
        if wanted != known:
            _enforce(endpoint, known, wanted)
        raise

    def wait() -> float:
        try:
            if timeout > 0 and mine:
                _wait(endpoint, mine, timeout, replaced)
        except MeshError:
            _undo(endpoint, wanted, known)
            raise
        return time.monotonic() - start

    return True, wrong, wait


def _at_once() -> float:
    """Wait for nothing."""
    return 0.0


def _undo(endpoint: Endpoint, wanted: dict[str, Document], known: dict[str, Document]) -> None:
    """Go back from *wanted* to *known*; what others have changed since stays."""
    with state.locked(endpoint, False):
        now = state.load(endpoint)
        before = {name: (known if now.get(name) == wanted.get(name) else now).get(name) for name in {*known, *now}}
        back = {name: document for name, document in before.items() if document is not None}
        if back != now:
            _enforce(endpoint, back, now)


def _replaced(endpoint: Endpoint, wanted: dict[str, Document], known: dict[str, Document]) -> set[str]:
    """Return the initiator's SPIs of the IKE_SAs that strongSwan will close, some time after it has taken the new documents: their ends show other papers."""
    had, want = plan_of(endpoint, known), plan_of(endpoint, wanted)
    other = {name for name in want.connections if name in had.connections and _ends(want, name) != _ends(had, name)}
    if not other:
        return set()
    with opened(endpoint.socket, endpoint.namespace) as session:
        return {one["initiator-spi"] for one in session.tunnels() if one["connection"] in other} if session else set()


def _ends(whole: plan.Plan, name: str) -> tuple[dict[str, t.Any], list[str]]:
    """Return how the ends of a connection know each other, and the identifier of the key that they share, if they do."""
    ends = {key: value for key, value in whole.connections[name].items() if key != "children"}
    return ends, [identifier for identifier, user in whole.shared.items() if user == name]


def _new_part(document: Document, known: Document | None) -> Document | None:
    """Return a tunnel with only those of its mappings that are new; None when none is."""
    had = known["mappings"] if known else []
    mappings = [mapping for mapping in document["mappings"] if mapping not in had]
    return {**document, "mappings": mappings} if mappings else None


def _refuse_unready(endpoint: Endpoint, documents: t.Iterable[Document]) -> None:
    for document in documents:
        plan.refuse_expired(document["local"])
        # Read once before anything is touched, so that a key that cannot be had is said at once.
        plan.own_key(document["local"], endpoint.directory)


def _down(endpoint: Endpoint, wanted: dict[str, connection.Connection]) -> list[str]:
    with opened(endpoint.socket, endpoint.namespace) as session:
        return ["tunnel"] if session is None or missing(session, wanted, childless=True) else []


def _wait(endpoint: Endpoint, wanted: dict[str, connection.Connection], timeout: float, replaced: t.Collection[str]) -> None:
    """Wait until every child of *wanted* is up, or the connection itself where it has none; *replaced* IKE_SAs do not count.

    What charon does not start by itself is started, and its words are kept.
    """
    end = time.monotonic() + timeout
    reason = "the peer did not answer"
    with opened(endpoint.socket, endpoint.namespace) as session:
        if session is None:
            raise CommandFailed(f"The IKE daemon of {endpoint.domain} has gone.")
        # Loading has started each child already; that takes about 10 ms where the peer is there.
        grace = time.monotonic() + 0.3
        pause = 0.01
        while True:
            down = missing(session, wanted, childless=True, replaced=replaced)
            left = end - time.monotonic()
            if not down:
                return
            if left <= 0:
                raise DeadlineExceeded(f"The tunnel of {down[0][0]}.{endpoint.domain} did not come up within {timeout:g} s: {reason}.")
            trying = {one["connection"] for one in session.tunnels() if one["state"] in ("CREATED", "CONNECTING")}
            # One that has no time to hear the peer's refusal would only hide why the one before was refused.
            if down[0][0] not in trying and time.monotonic() >= grace and left >= _WORD:
                said = session.initiate(*down[0], timeout=min(left, 5.0))
                reason = _told(said, wanted[down[0][0]]) if said else reason
                grace = time.monotonic() + 0.5
            time.sleep(min(pause, max(left, 0)))
            pause = min(pause * 1.5, 0.2)


def _told(said: str, one: connection.Connection) -> str:
    """Return why a connection did not come up; what an end says that has another pre-shared key does not name that."""
    if one["local"]["auth"] == "psk" and "AUTHENTICATION_FAILED" in said:
        us, them = one["local"]["id"], one["remote"]["id"]
        return f"the peer refused to authenticate {us} ({said}): it has another pre-shared key, knows nobody of that identity, or is not {them} itself"
    if one["local"]["auth"] == "psk" and "MAC mismatched" in said:
        return f"the peer has another pre-shared key ({said})"
    return said


def _enforce(endpoint: Endpoint, target: dict[str, Document], present: dict[str, Document]) -> None:
    """Make everything as the documents of *target* say and remember it; rules come first, so that no packet passes unfiltered."""
    if not target and not endpoint.reachable:
        endpoint.daemon.stop(endpoint.domain)
        state.save(endpoint, {})
        return
    want, had = plan_of(endpoint, target), plan_of(endpoint, present)
    seen = observe(endpoint, want, had)
    if not target:
        endpoint.daemon.stop(endpoint.domain)
        charon.remove_interface(endpoint.namespace)
        device.prune(endpoint.namespace, device.Links(False), observe(endpoint, want, had).links)
        if had.rules is not None:
            _nft(endpoint, want.rules or "")
        state.save(endpoint, {})
        return
    keys = {name: plan.own_key(local, endpoint.directory) for name, local in want.locals.items()}
    state.save(endpoint, target)
    if want.rules is not None and (not seen.rules or want.rules != had.rules):
        _nft(endpoint, want.rules)
        write_atomic(endpoint.rules, rules_digest(endpoint) or "", mode=0o600)
    if not (seen.alive and seen.configured):
        _start(endpoint)
        seen = observe(endpoint, want, had)
    device.add(endpoint.namespace, want.links, seen.links)
    with opened(endpoint.socket, endpoint.namespace) as session:
        if session is None:
            raise CommandFailed(f"The IKE daemon of {endpoint.domain} has gone.")
        _load(session, want, seen, keys)
    device.prune(endpoint.namespace, want.links, seen.links)


def _load(session: Session, want: plan.Plan, seen: Seen, keys: dict[str, bytes]) -> None:
    old = seen.keys - set(keys)
    # A connection does not tell which pre-shared key it was made with, so there is never more than one, and with another one it is made anew.
    for name in old:
        if name.startswith(plan.PRE_SHARED):
            session.unload_shared(name)
    anew = set()
    for name in set(keys) - seen.keys:
        if name in want.shared:
            ends = want.connections[want.shared[name]]
            session.load_shared(name, keys[name], [ends["local"]["id"], ends["remote"]["id"]])
            anew.add(want.shared[name])
        else:
            session.load_key(keys[name])
    renewed = [crl for crl in want.crls if pki.der_of(pki.load_crl(crl, "revocation list")) not in seen.certificates]
    for crl in renewed:
        session.load_crl(crl)
    for name in set(seen.connections) - (set(want.connections) - anew):
        session.unload(name)
    for name, one in want.connections.items():
        session.load(name, one)
        # Who was let in under an older list has to show its certificate again; the others are back within a second.
        if renewed and seen.connections and one["remote"]["revocation"] == "strict":
            session.terminate({"ike": name})
    for name in old:
        if not name.startswith(plan.PRE_SHARED):
            session.unload_key(name)


def _start(endpoint: Endpoint) -> None:
    in_kernel = kernel(endpoint)
    os.makedirs(endpoint.run, mode=0o700, exist_ok=True)
    write_atomic(endpoint.configuration, charon.configuration(endpoint.socket, in_kernel), mode=0o600)
    if in_kernel and not device.observe(endpoint.namespace, (), ()).device:
        charon.add_interface(endpoint.namespace)
    if in_kernel and endpoint.namespace:
        charon.forget_states(endpoint.namespace)
    endpoint.daemon.start(endpoint.domain)

    def ready() -> bool:
        with opened(endpoint.socket, endpoint.namespace) as session:
            return session is not None and device.observe(endpoint.namespace, (), ()).device

    wait_for(ready, _START, f"the IKE daemon of {endpoint.domain} is ready")


def _refuse_conflicts(name: str, document: Document, known: dict[str, Document]) -> None:
    if known and (name == RESPONDER) != (RESPONDER in known):
        raise InvalidInput(f"This host is already {'the VPN gateway' if RESPONDER in known else 'a domain router'} of {document['domain']}; it cannot be both.")
    for other, one in known.items():
        if RESPONDER in (name, other) or other == name:
            continue
        for part in ("fabric_address", "intranet_address"):
            shared = {mapping[part] for mapping in document["mappings"]} & {mapping[part] for mapping in one["mappings"]}
            if shared:
                raise InvalidInput(f"The {part.replace('_', ' ')} {sorted(shared)[0]} is already used by service {other} of {document['domain']}.")
        if not document["local"]["certificate"] and not one["local"]["certificate"] and _known_as(document) == _known_as(one):
            identity, peer = _known_as(document)
            raise InvalidInput(
                f"The service {other} of {document['domain']} has a pre-shared key with {peer} as {identity}, too; its keys are told apart by identities only."
            )


def _known_as(document: Document) -> tuple[str, str]:
    return document["local"].get("identity", f"{document['service']}.{document['domain']}"), document["peer"]["identity"]


def _nft(endpoint: Endpoint, transaction: str) -> None:
    run([*inside(endpoint), "nft", "-f", "-"], stdin=transaction)
