# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What a host remembers of a domain's VPN: the documents in force, and the digest of the rules that they became."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import lock, read_json, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import wrapping
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.charon import Daemon, Systemd
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.document import RESPONDER, Document

RUN = "/run/vmatrix/vpn"
_LOCKS = "/run/lock"


class Endpoint(t.NamedTuple):
    """Where the tunnels of one domain end on this host.

    Attributes:
        domain: the domain.
        namespace: the network namespace of its router; None is the host's own, on the owner's gateway.
        daemon: what starts and stops its IKE daemon.
        directory: where documents, private keys and configuration are kept.
        run: where sockets and digests are, which do not outlive a boot.
    """

    domain: str
    namespace: str | None
    daemon: Daemon = Systemd()
    directory: str = wrapping.DIRECTORY
    run: str = RUN

    @property
    def reachable(self) -> bool:
        """Whether its network namespace is there."""
        return self.namespace is None or os.path.exists(os.path.join("/run/netns", self.namespace))

    @property
    def home(self) -> str:
        return os.path.join(self.directory, names.domain(self.domain))

    @property
    def socket(self) -> str:
        return os.path.join(self.run, f"{self.domain}.vici")

    @property
    def configuration(self) -> str:
        return os.path.join(self.home, "strongswan.conf")

    @property
    def rules(self) -> str:
        return os.path.join(self.run, f"{self.domain}.rules")


def gateway(domain: str) -> Endpoint:
    """Return where a domain's tunnels end on a gateway of an HN."""
    return Endpoint(domain, f"router-{names.domain(domain)}")


def owner(domain: str) -> Endpoint:
    """Return where a domain's tunnels end on its owner's gateway."""
    return Endpoint(names.domain(domain), None)


def endpoints(directory: str = wrapping.DIRECTORY) -> list[Endpoint]:
    """Return every endpoint of this host, in the order of their domains."""
    found = []
    for domain in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        if os.path.isdir(os.path.join(directory, domain)):
            responds = os.path.exists(os.path.join(directory, domain, f"{RESPONDER}.json"))
            found.append(owner(domain) if responds else gateway(domain))
    return found


def load(endpoint: Endpoint) -> dict[str, Document]:
    """Return the documents of an endpoint by name: those of tunnels by their service."""
    if not os.path.isdir(endpoint.home):
        return {}
    found = {entry[: -len(".json")]: read_json(os.path.join(endpoint.home, entry)) for entry in sorted(os.listdir(endpoint.home)) if entry.endswith(".json")}
    return {name: document for name, document in found.items() if document}


def save(endpoint: Endpoint, documents: dict[str, Document]) -> None:
    """Remember exactly these documents."""
    os.makedirs(endpoint.home, mode=0o700, exist_ok=True)
    for name in load(endpoint):
        if name not in documents:
            os.unlink(os.path.join(endpoint.home, f"{name}.json"))
    for name, document in documents.items():
        write_json(os.path.join(endpoint.home, f"{name}.json"), document, mode=0o600)
    if not documents:
        for path in (endpoint.configuration, endpoint.rules, endpoint.socket):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        os.rmdir(endpoint.home)


def locked(endpoint: Endpoint, dry_run: bool = False, timeout: float = 30.0) -> t.ContextManager[None]:
    """Hold the VPN of a domain for oneself; raises Refused when somebody else keeps it for *timeout* seconds."""
    path = os.path.join(_LOCKS, f"vmatrix-vpn-{names.domain(endpoint.domain)}.lock")
    return contextlib.nullcontext() if dry_run else lock(path, f"the VPN of {endpoint.domain}", timeout)
