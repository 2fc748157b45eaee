# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""One question to, or one update of, one name server; what goes wrong is said in one sentence."""

from __future__ import annotations

import contextlib
import socket
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.keys import Key
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.libraries import dns
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.shapes import Endpoint

#: Seconds that one exchange with a server may take.
PATIENCE = 5.0


def ask(server: Endpoint, name: str, rdtype: str, key: Key | None = None, timeout: float = PATIENCE, subnet: str | None = None) -> t.Any:
    """Return the server's own answer (a dns.message.Message) about C(name rdtype), without recursion.

    Args:
        server: the server.
        name: the absolute name.
        rdtype: the type of record.
        key: what to sign the question with; servers with views choose the view by it.
        timeout: seconds for the exchange.
        subnet: the prefix of the client for whom it is asked (EDNS client subnet, RFC 7871); None for this host itself.

    Raises:
        CommandFailed, DeadlineExceeded: it cannot be reached, or did not answer in time.
        Refused: it does not take the key.
    """
    options = [dns.edns.ECSOption.from_text(subnet)] if subnet else None
    message = dns.message.make_query(f"{name}.", rdtype, flags=0, payload=1232, options=options)
    if key:
        message.use_tsig(_tsig(key))
    with _said(server, key, timeout):
        # A datagram may get lost; asking again is cheap, and TCP serves where the answer is long.
        end = time.monotonic() + timeout
        while True:
            try:
                return dns.query.udp_with_fallback(message, server.address, timeout / 3, server.port)[0]
            except dns.exception.Timeout:
                if time.monotonic() >= end:
                    raise


def rdataset(server: Endpoint, name: str, rdtype: str, key: Key | None = None, timeout: float = PATIENCE) -> t.Any:
    """Return the record set (a dns.rdataset.Rdataset) that the server itself has under C(name rdtype), or None when it has none.

    Raises:
        Refused: it is no authority for the name, the name is an alias, or the key is not taken.
        CommandFailed: it cannot be reached or failed.
        DeadlineExceeded: it did not answer in time.
    """
    answer = ask(server, name, rdtype, key, timeout)
    if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise CommandFailed(f"The name server {server} answered {dns.rcode.to_text(answer.rcode())} when asked for {name} {rdtype}.")
    if not answer.flags & dns.flags.AA:
        raise Refused(f"The name server {server} is no authority for {name}.")
    owner = dns.name.from_text(f"{name}.")
    alias = answer.get_rrset(answer.answer, owner, dns.rdataclass.IN, dns.rdatatype.CNAME)
    if alias and rdtype != "CNAME":
        raise Refused(f"{name} is an alias of {str(alias[0].target).rstrip('.')}; no {rdtype} records can stand beside it.")
    return answer.get_rrset(answer.answer, owner, dns.rdataclass.IN, dns.rdatatype.from_text(rdtype))


def names(server: Endpoint, zone: str, key: Key | None, timeout: float = PATIENCE) -> list[str]:
    """Return the absolute names of a zone that have records, by a zone transfer (RFC 5936).

    Raises:
        Refused: the server does not take the key, or gives nobody with it a copy.
        CommandFailed, DeadlineExceeded: it cannot be reached, failed, or did not answer in time.
    """
    keyring = {"keyring": {dns.name.from_text(f"{key.name}."): _tsig(key)}} if key else {}
    with _said(server, key, timeout):
        try:
            messages = dns.query.xfr(server.address, f"{zone}.", port=server.port, relativize=False, lifetime=timeout, **keyring)
            found = {str(records.name).rstrip(".").lower() for message in messages for records in message.answer}
        except dns.query.TransferError as exc:
            raise Refused(f"The name server {server} gives no copy of the zone {zone}: {dns.rcode.to_text(exc.rcode)}.") from exc
    return sorted(found)


def send(server: Endpoint, update: t.Any, key: Key | None, timeout: float = PATIENCE) -> int:
    """Send an update (a dns.update.UpdateMessage), signed, and return the answer's code if it is about the update's prerequisites, or NOERROR.

    Raises:
        Refused: the server does not take the key, or the key may not do this.
        CommandFailed: it cannot be reached, or failed.
        DeadlineExceeded: it did not answer in time; whether it took the update is not known.
    """
    zone = str(update.zone[0].name).rstrip(".")
    if key:
        update.use_tsig(_tsig(key))
    signed = f"signed with the key {key.name}" if key else "that was not signed"
    with _said(server, key, timeout):
        answer, proven = _over_tcp(server, update, timeout)
    code = answer.rcode()
    if key and not proven:
        # Some servers say so without a signature when they cannot check ours; anything else must be signed.
        if code in (dns.rcode.REFUSED, dns.rcode.NOTAUTH, dns.rcode.FORMERR):
            raise Refused(f"The name server {server} does not know the key {key.name}, has another secret for it, or another time; nothing was changed.")
        raise Refused(f"What the name server {server} answered to an update {signed} is not signed as it should be.")
    if code == dns.rcode.REFUSED:
        raise Refused(f"The name server {server} refused an update of {zone} {signed}; nothing was changed.")
    if code == dns.rcode.NOTAUTH:
        raise Refused(f"The name server {server} is no authority for {zone}, or does not take an update {signed}; nothing was changed.")
    prerequisites = (dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN, dns.rcode.NXRRSET, dns.rcode.YXRRSET)
    if code not in (dns.rcode.NOERROR, *prerequisites):
        raise CommandFailed(f"The name server {server} answered {dns.rcode.to_text(code)} to an update of {zone}; nothing was changed.")
    return code


def _over_tcp(server: Endpoint, message: t.Any, timeout: float) -> tuple[t.Any, bool]:
    """Return the answer and whether it was signed with the key that the message was."""
    wire = message.to_wire(max_size=65535)
    end = time.monotonic() + timeout
    with socket.create_connection((server.address, server.port), timeout) as connection:
        connection.sendall(len(wire).to_bytes(2, "big") + wire)
        received = _read(connection, int.from_bytes(_read(connection, 2, end), "big"), end)
    try:
        answer = dns.message.from_wire(received, keyring=message.keyring, request_mac=message.mac)
    except dns.exception.FormError:
        # The library does not say more than this of an answer without a signature.
        answer = dns.message.from_wire(received)
    if not message.is_response(answer):
        raise dns.query.BadResponse
    return answer, bool(answer.had_tsig)


def _read(connection: socket.socket, size: int, end: float) -> bytes:
    found = b""
    while len(found) < size:
        connection.settimeout(max(0.01, end - time.monotonic()))
        part = connection.recv(size - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def _tsig(key: Key) -> t.Any:
    return dns.tsig.Key(f"{key.name}.", key.secret, f"{key.algorithm}.")


@contextlib.contextmanager
def _said(server: Endpoint, key: Key | None, timeout: float) -> t.Iterator[None]:
    """Turn what the library raises into one sentence."""
    named = f"the key {key.name}" if key else "a request without a key"
    try:
        yield
    except dns.tsig.PeerBadKey as exc:
        raise Refused(f"The name server {server} does not know {named}; nothing was changed.") from exc
    except dns.tsig.PeerBadSignature as exc:
        raise Refused(f"The name server {server} has another secret or algorithm for {named}; nothing was changed.") from exc
    except dns.tsig.PeerBadTime as exc:
        raise Refused(f"The clocks of this host and of the name server {server} are too far apart for {named}; nothing was changed.") from exc
    except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadTime, dns.tsig.BadKey, dns.tsig.BadAlgorithm, dns.message.UnknownTSIGKey) as exc:
        raise Refused(f"What the name server {server} answered to {named} is not signed as it should be.") from exc
    except (dns.exception.Timeout, TimeoutError) as exc:
        raise DeadlineExceeded(f"The name server {server} did not answer within {timeout:g} s.") from exc
    except (dns.exception.DNSException, EOFError) as exc:
        if key and isinstance(exc, dns.exception.FormError):
            raise Refused(f"What the name server {server} answered to {named} is not signed as it should be.") from exc
        raise CommandFailed(f"What the name server {server} answered cannot be understood: {type(exc).__name__}.") from exc
    except (OSError, socket.gaierror) as exc:
        raise CommandFailed(f"The name server {server} cannot be reached: {exc.strerror or exc}.") from exc
