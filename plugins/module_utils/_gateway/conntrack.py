# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Flows as the kernel's connection tracking knows them, over netlink: it copies only those that are asked for.

The messages are those of C(linux/netfilter/nfnetlink_conntrack.h). A filter by address needs Linux 5.8; an older kernel does not heed it and tells all, so
what comes is looked at once more.
"""

from __future__ import annotations

import os
import socket
import struct
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed

#: What a flow's C(status) can have: it was answered, and its destination was rewritten.
ASSURED, DST_NAT = 1 << 2, 1 << 5

_FAMILY, _SUBSYSTEM, _GET = 12, 1, 1
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3
#: length, type, flags, sequence, port of a message; family, version, resource of its payload; length and type of an attribute.
_HEAD, _PAYLOAD, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBH"), struct.Struct("=HH")
_NESTED, _TYPE = 0x8000, 0x3FFF
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _PROTOINFO, _FILTER = 1, 2, 3, 4, 25
_IP, _PROTO = 1, 2
_V4_SRC, _V4_DST = 1, 2
_PROTO_NUM, _PROTO_DST_PORT = 1, 3
_INFO_TCP, _TCP_STATE = 1, 1
_REPLY_FLAGS = 2
_BY_SOURCE = 1 << 0
#: Bytes that are read at once; the kernel fills at most so much.
_READ = 1 << 18


class Flow(t.NamedTuple):
    """One flow.

    Attributes:
        protocol: its IP protocol.
        destination: the address that the caller meant.
        port: and the port.
        server: the address that answers.
        state: of a TCP connection, as C(linux/netfilter/nf_conntrack_tcp.h) counts; else None.
        status: bits such as ASSURED and DST_NAT.
    """

    protocol: int
    destination: str
    port: int
    server: str
    state: int | None
    status: int


def flows(server: str | None = None) -> t.Iterator[Flow]:
    """Yield the IPv4 flows of the calling thread's network namespace, those that *server* answers only if one is named.

    Raises:
        CommandFailed: the kernel refuses to tell.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _FAMILY) as line:
        line.bind((0, 0))
        body = _PAYLOAD.pack(socket.AF_INET, 0, 0) + (_answered_by(server) if server else b"")
        line.sendto(_HEAD.pack(_HEAD.size + len(body), _SUBSYSTEM << 8 | _GET, _REQUEST | _DUMP, 1, 0) + body, (0, 0))
        while True:
            for kind, content in _messages(line.recv(_READ)):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    number = -struct.unpack_from("=i", content)[0]
                    raise CommandFailed(f"The kernel does not tell its connections: {os.strerror(number)}.")
                found = flow(content[_PAYLOAD.size :])
                if found and server in (None, found.server):
                    yield found


def flow(content: bytes) -> Flow | None:
    """Return the flow that the attributes of a message tell of; None where it has no ports."""
    told = dict(_attributes(content))
    original, reply = (_tuple(told.get(which, b"")) for which in (_TUPLE_ORIG, _TUPLE_REPLY))
    if original.get("port") is None or "source" not in reply:
        return None
    tcp = dict(_attributes(dict(_attributes(told.get(_PROTOINFO, b""))).get(_INFO_TCP, b"")))
    state = tcp[_TCP_STATE][0] if _TCP_STATE in tcp else None
    return Flow(original["protocol"], original["destination"], original["port"], reply["source"], state, _number(told.get(_STATUS, bytes(4))))


def _tuple(content: bytes) -> dict[str, t.Any]:
    told = dict(_attributes(content))
    addresses, proto = dict(_attributes(told.get(_IP, b""))), dict(_attributes(told.get(_PROTO, b"")))
    found: dict[str, t.Any] = {}
    if _V4_SRC in addresses:
        found.update(source=socket.inet_ntoa(addresses[_V4_SRC]), destination=socket.inet_ntoa(addresses[_V4_DST]))
    if _PROTO_NUM in proto:
        found.update(protocol=proto[_PROTO_NUM][0], port=int.from_bytes(proto[_PROTO_DST_PORT], "big") if _PROTO_DST_PORT in proto else None)
    return found


def _answered_by(server: str) -> bytes:
    """Return the attributes that ask for the flows that *server* answers."""
    source = _attribute(_V4_SRC, socket.inet_aton(server))
    flags = _attribute(_REPLY_FLAGS, struct.pack("=I", _BY_SOURCE))
    return _attribute(_TUPLE_REPLY | _NESTED, _attribute(_IP | _NESTED, source)) + _attribute(_FILTER | _NESTED, flags)


def _attribute(kind: int, content: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content + bytes(-len(content) % 4)


def _attributes(content: bytes) -> t.Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(content):
        length, kind = _ATTRIBUTE.unpack_from(content, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE, content[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4


def _messages(content: bytes) -> t.Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEAD.size <= len(content):
        length, kind, *unused = _HEAD.unpack_from(content, at)
        if length < _HEAD.size:
            return
        yield kind, content[at + _HEAD.size : at + length]
        at += length + -length % 4


def _number(content: bytes) -> int:
    return int.from_bytes(content, "big")
