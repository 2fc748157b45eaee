# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Setting zones up on a PowerDNS of this host, through its API on the loopback: zones, who may change and copy them, and keys.

Its own tool for that, pdnsutil, takes secrets as arguments, where every user of the host can read them, and goes past the server's caches.
It is used for nothing but the switch for LUA records, which the API does not let anybody touch.
"""

from __future__ import annotations

import http.client
import json
import re
import typing as t
import urllib.parse

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.done import Done
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.keys import Key

URL = "http://127.0.0.1:8081"
API_FILE = "/etc/powerdns/pdns.d/vmatrix-api.conf"


class ZoneSpec(t.NamedTuple):
    """What a zone shall be.

    Attributes:
        name: the zone.
        nameservers: the names of its authoritative servers.
        update_keys: who may change it; nobody else may.
        transfer_keys: who may copy it; nobody else may.
        update_from: the prefixes that changes may come from.
        steering: whether it holds LUA records; then exactly one key, the platform's, may change it.
    """

    name: str
    nameservers: tuple[str, ...]
    update_keys: tuple[Key, ...] = ()
    transfer_keys: tuple[Key, ...] = ()
    update_from: tuple[str, ...] = ("0.0.0.0/0", "::/0")
    steering: bool = False


def api_key(path: str = API_FILE) -> str:
    """Return the API's key from the server's own configuration file; raises NotFound."""
    try:
        with open(path, encoding="utf-8") as handle:
            match = re.search(r"(?m)^api-key=(\S+)$", handle.read())
    except OSError as exc:
        raise NotFound(f"The file {path} with the key of the name server's API cannot be read on this host.") from exc
    if not match:
        raise NotFound(f"The file {path} has no line api-key=....")
    return match.group(1)


class Api:
    """The API of a PowerDNS on this host; its key is never shown.

    Args:
        url: where it listens.
        secret: its key.
        timeout: seconds that a call may take.
        tool: the argv that pdnsutil is called with.
    """

    def __init__(self, url: str, secret: str, timeout: float = 10.0, tool: t.Sequence[str] = ("pdnsutil",)) -> None:
        parsed = urllib.parse.urlsplit(url)
        if parsed.scheme != "http" or parsed.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise InvalidInput(f"{url!r} is not the API of a name server on this host: it must look like '{URL}'.")
        self._host, self._port, self._secret, self._timeout = parsed.hostname, parsed.port or 80, secret, timeout
        self.tool = list(tool)

    def call(self, method: str, path: str, body: t.Any = None) -> t.Any:
        """Return what the API answers, None for 404 to a question; raises CommandFailed with its own words."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            headers = {"X-API-Key": self._secret, "Content-Type": "application/json"}
            connection.request(method, f"/api/v1/servers/localhost{path}", json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as exc:
            raise CommandFailed(f"The API of the name server at {self._host} port {self._port} cannot be reached: {exc}.") from exc
        finally:
            connection.close()
        if response.status == 404 and method == "GET":
            return None
        if response.status >= 300:
            raise CommandFailed(f"The API of the name server refused {method} {path}: {_words(text)}.")
        return json.loads(text) if text else None


def _words(text: str) -> str:
    try:
        return json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200] or "it said nothing"


def check(wanted: ZoneSpec) -> ZoneSpec:
    """Return a wished zone in its normal form; raises InvalidInput."""
    name = shapes.name(wanted.name)
    if not wanted.nameservers:
        raise InvalidInput(f"The zone {name} has no name servers.")
    if wanted.steering and len(wanted.update_keys) != 1:
        raise InvalidInput(f"The steering zone {name} must have exactly one key that may change it: whoever can, can run programs on the name server.")
    nameservers = tuple(sorted({shapes.name(one) for one in wanted.nameservers}))
    # Without a key the server would take changes from these prefixes unsigned.
    update_from = tuple(str(shapes.prefix(one)) for one in wanted.update_from) if wanted.update_keys else ()
    return wanted._replace(name=name, nameservers=nameservers, update_from=update_from)


def present(api: Api, spec: ZoneSpec, dry: bool = False) -> Done:
    """Make sure that a zone is there, with its keys and nobody else's.

    Raises:
        InvalidInput: it is invalid.
        CommandFailed: the API cannot be reached, or does not do it.
    """
    wanted = check(spec)
    keys = {key.name: key for key in (*wanted.update_keys, *wanted.transfer_keys)}
    known = {name: _has_key(api, key) for name, key in keys.items()}
    before, after = _look(api, wanted.name), _state(wanted)
    if before and wanted.steering and not before["steering"] and not set(before["update_keys"]) <= {key.name for key in wanted.update_keys}:
        raise Refused(
            f"The zone {wanted.name} was open to other keys ({', '.join(before['update_keys'])}), and what they left there could run programs on the"
            " name server; take another zone for steering."
        )
    changed = before != after or not all(known.values())
    if changed and not dry:
        for name, same in known.items():
            if not same:
                _put_key(api, keys[name], same is not None)
        _put_zone(api, wanted, before)
    right = sorted(name for name, same in known.items() if same)
    return Done(changed, {"zone": before, "keys": right}, {"zone": after, "keys": sorted(known)}, {"zone": after})


def absent(api: Api, name: str, dry: bool = False) -> Done:
    """Make sure that there is no such zone; its records go with it, keys stay."""
    before = _look(api, shapes.name(name))
    if before and not dry:
        api.call("DELETE", _path(before["name"]))
    return Done(before is not None, {"zone": before}, {"zone": None}, {"zone": None})


def _path(name: str) -> str:
    return f"/zones/{name}."


def _state(wanted: ZoneSpec) -> dict[str, t.Any]:
    return {
        "name": wanted.name,
        "nameservers": list(wanted.nameservers),
        "update_keys": sorted(key.name for key in wanted.update_keys),
        "transfer_keys": sorted(key.name for key in wanted.transfer_keys),
        "update_from": list(wanted.update_from),
        "notify": _notifies(wanted),
        "steering": wanted.steering,
    }


def _notifies(wanted: ZoneSpec) -> bool:
    # The server looks for the addresses of all name servers before it answers an update; that is lost time where there is nobody to tell.
    return len(wanted.nameservers) > 1


def _look(api: Api, name: str) -> dict[str, t.Any] | None:
    zone = api.call("GET", _path(name))
    if zone is None:
        return None
    kinds = {entry["kind"]: entry["metadata"] for entry in api.call("GET", f"{_path(name)}/metadata")}
    servers = [record["content"] for rrset in zone["rrsets"] if (rrset["name"], rrset["type"]) == (f"{name}.", "NS") for record in rrset["records"]]
    return {
        "name": name,
        "nameservers": sorted(server.rstrip(".") for server in servers),
        "update_keys": sorted(key.rstrip(".") for key in kinds.get("TSIG-ALLOW-DNSUPDATE", [])),
        "transfer_keys": sorted(key.rstrip(".") for key in zone["master_tsig_key_ids"]),
        "update_from": kinds.get("ALLOW-DNSUPDATE-FROM", []),
        "notify": kinds.get("NOTIFY-DNSUPDATE") == ["1"],
        "steering": kinds.get("ENABLE-LUA-RECORDS") == ["1"],
    }


def _put_zone(api: Api, wanted: ZoneSpec, before: dict[str, t.Any] | None) -> None:
    path, servers = _path(wanted.name), [f"{one}." for one in wanted.nameservers]
    if before is None:
        api.call("POST", "/zones", {"name": f"{wanted.name}.", "kind": "Master", "nameservers": servers})
    elif before["nameservers"] != list(wanted.nameservers):
        records = [{"content": server, "disabled": False} for server in servers]
        rrset = {"name": f"{wanted.name}.", "type": "NS", "ttl": 3600, "changetype": "REPLACE", "records": records}
        api.call("PATCH", path, {"rrsets": [rrset]})
    if before and before["steering"] and not wanted.steering:
        _switch_lua(api, wanted.name, False)
    # A zone without keys takes unsigned changes from its prefixes: the prefixes go before the last key, and come after the first.
    keys = ("TSIG-ALLOW-DNSUPDATE", sorted(f"{key.name}." for key in wanted.update_keys))
    prefixes = ("ALLOW-DNSUPDATE-FROM", list(wanted.update_from))
    for kind, values in (keys, prefixes) if wanted.update_keys else (prefixes, keys):
        api.call("PUT", f"{path}/metadata/{kind}", {"metadata": values})
    api.call("PUT", path, {"kind": "Master", "master_tsig_key_ids": [f"{key.name}." for key in wanted.transfer_keys]})
    if wanted.steering:
        _switch_lua(api, wanted.name, True)
    # It comes last because it makes the server forget the settings that it has read before.
    api.call("PUT", f"{path}/metadata/NOTIFY-DNSUPDATE", {"metadata": ["1"] if _notifies(wanted) else []})
    # Whoever asked before the zone was there left a refusal in the cache.
    api.call("PUT", f"/cache/flush?domain={wanted.name}.")


def _switch_lua(api: Api, name: str, on: bool) -> None:
    run([*api.tool, "set-meta", name, "ENABLE-LUA-RECORDS", *(["1"] if on else [])])


def _has_key(api: Api, key: Key) -> bool | None:
    """Return whether the server has exactly this key, None if it has none of its name."""
    found = api.call("GET", f"/tsigkeys/{key.name}.")
    return None if found is None else (found["algorithm"], found["key"]) == (key.algorithm, key.secret)


def _put_key(api: Api, key: Key, there: bool) -> None:
    body = {"name": key.name, "algorithm": key.algorithm, "key": key.secret}
    api.call("PUT" if there else "POST", f"/tsigkeys/{key.name}." if there else "/tsigkeys", body)
