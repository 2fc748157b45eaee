# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""A domain router with the tunnels that begin in it: the one place that knows both engines.

A router document says which instances use the tunnel of their service (C(mappings)). What a tunnel needs besides is brought to the gateway once, and stays
there as long as the service does.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import router
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import handover, libraries, observe, state, tunnel

Document = t.Dict[str, t.Any]


class Place(t.NamedTuple):
    """Where on the gateway a router is: C(switch_of) finds the switch of the bridge's name, C(tunnels) gives the endpoint of a domain's tunnels."""

    switch_of: t.Callable[[str], router.Switch]
    bridge: str
    wan: str
    directory: str = router.state.DIRECTORY
    tunnels: t.Callable[[str], state.Endpoint] = state.gateway


def apply(
    desired: Document,
    parcels: t.Sequence[dict[str, t.Any]],
    place: Place,
    tunnel_timeout: float,
    dry_run: bool = False,
    leases: t.Mapping[str, int] | None = None,
    **how: t.Any,
) -> router.Report:
    """Bring the router of a domain, and its tunnels, to what *desired* says; a tunnel is up before its service's new members are published.

    Args:
        desired: the router document; a service with a tunnel has C(mappings).
        parcels: what tunnels need that are new here, or other than they were, each with its C(service).
        place: where the router is.
        tunnel_timeout: seconds that what is new of tunnels has for coming up; 0 does not wait.
        dry_run: whether to only say what would change.
        leases: for which instances *desired* speaks, as C(router.apply) takes it.
        how: further arguments of C(router.apply).

    Returns:
        The router's report, with C(tunnels) (outlines by service) and what was not as it should be of them.

    Raises:
        What C(router.apply) and C(tunnel.begin_tunnels) raise; when a tunnel fails, rotation and tunnels are as they were.
        NotFound: a service is to have a tunnel, but what that needs was never brought here.
    """
    mappings = {service["name"]: service["mappings"] for service in desired["services"] if service.get("mappings") is not None}
    plain = {**desired, "services": [{key: value for key, value in service.items() if key != "mappings"} for service in desired["services"]]}
    endpoint = place.tunnels(desired["domain"])
    done: list[tunnel.Report] = []

    def companion(older: bool) -> tunnel.Wait:
        known = state.load(endpoint)
        used = _merged(mappings, known, leases) if older and leases is not None else mappings
        wanted = _tunnels(plain, used, {parcel["service"]: parcel for parcel in parcels}, known, endpoint.directory)
        begun, wait = tunnel.begin_tunnels(endpoint, wanted, {parcel["service"] for parcel in parcels}, tunnel_timeout, dry_run)
        done.append(begun)
        return wait

    concerned = _concerned(endpoint, parcels or any(mappings.values()))
    where = (place.switch_of, place.bridge, place.wan)
    report = router.apply(plain, *where, dry_run=dry_run, directory=place.directory, companion=companion if concerned else None, leases=leases, **how)
    return _joined(report, done, endpoint)


def remove(
    domain: str, place: Place, dry_run: bool = False, generation: int | None = None, leases: t.Mapping[str, int] | None = None
) -> router.Report:
    """Remove the router of a domain, and before it the tunnels that begin there; *generation* is that of the document that says so, if one does.

    With *leases*, as C(router.remove) takes them, what others have brought into it since stays, with all tunnels.

    Raises:
        What C(router.remove) and C(tunnel.begin_tunnels) raise.
    """
    endpoint = place.tunnels(domain)
    done: list[tunnel.Report] = []

    def companion() -> None:
        done.append(tunnel.begin_tunnels(endpoint, [], (), 0, dry_run)[0])

    concerned = _concerned(endpoint, False)
    return _joined(router.remove(domain, place.switch_of, dry_run, place.directory, companion if concerned else None, generation, leases), done, endpoint)


def _concerned(endpoint: state.Endpoint, wanted: t.Any) -> bool:
    """Say whether there are, or are to be, tunnels; a gateway without them needs nothing for them."""
    concerned = bool(wanted) or os.path.isdir(endpoint.home)
    if concerned:
        libraries.require()
    return concerned


def _merged(mappings: dict[str, list], known: dict[str, Document], mine: t.Collection[str]) -> dict[str, list]:
    """Return who uses which tunnel when an older document speaks for the instances *mine* only."""
    found = {}
    for service in {*mappings, *known}:
        others = [each for each in known.get(service, {}).get("mappings", []) if each["instance"] not in mine]
        found[service] = [*others, *(each for each in mappings.get(service, []) if each["instance"] in mine)]
    return found


def _tunnels(document: Document, mappings: dict[str, list], parcels: dict[str, dict], known: dict[str, Document], directory: str) -> list[Document]:
    """Return the tunnels that a domain is to have: a function of documents, parcels, and the gateway's wrapping key in *directory*."""
    wanted = []
    for service in document["services"]:
        name, basis = service["name"], known.get(service["name"])
        if name not in mappings:
            continue
        if name in parcels:
            basis = handover.brought(parcels[name], basis, directory)
        if basis is not None:
            local = {key: value for key, value in basis["local"].items() if key != "address" and value is not None}
            ends = {"local": {**local, "address": service["public_address"]}, "mappings": mappings[name]}
            wanted.append({**basis, **ends, "domain": document["domain"], "service": name})
        elif mappings[name]:
            whose = f"{name}.{document['domain']}"
            raise NotFound(f"The certificate or pre-shared key of {whose} is not on this gateway, so there is no tunnel for it; place it again to bring it.")
    return wanted


def _joined(report: router.Report, done: list[tunnel.Report], endpoint: state.Endpoint) -> router.Report:
    if done:
        sides = [(done[0].before["tunnels"], done[0].before["drift"]), (done[0].after["tunnels"], done[0].after["drift"])]
    else:
        kept = {name: observe.outline(one) for name, one in state.load(endpoint).items()}
        sides = [(kept, []), (kept, [])]
    before, after = (
        {**half, "tunnels": tunnels, "drift": [*half["drift"], *(f"tunnels: {part}" for part in wrong)]}
        for half, (tunnels, wrong) in zip((report.before, report.after), sides)
    )
    return report._replace(changed=report.changed or any(one.changed for one in done), before=before, after=after)
