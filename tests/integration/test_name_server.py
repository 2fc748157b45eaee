# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The primary name server as clients in two regions, and strangers, meet it."""

from __future__ import annotations

import json

SERVER = "198.18.0.4"
ZONE = "steer.mesh.example"
NAME = f"lab.{ZONE}"
STEERING = {
    "zone": ZONE,
    "server": SERVER,
    "key_file": "/etc/vmatrix/dns/platform.key",
    "name": NAME,
    "sites": [{"hn": "hn-east", "addresses": ["198.18.1.250"]}, {"hn": "hn-west", "addresses": ["198.18.2.250"]}],
    "order": ["hn-east"],
    "regions": [{"name": "west", "prefixes": ["198.18.100.2/32"], "order": ["hn-west"]}],
}

#: What a client does with the name server, as a program for its Python; it prints JSON.
CLIENT = """
import json, sys
import dns.exception, dns.message, dns.query, dns.rcode, dns.update, dns.zone
server, what, name = sys.argv[1:]
if what == "ask":
    answer = dns.query.udp(dns.message.make_query(name, "A"), server, 3)
    found = [dns.rcode.to_text(answer.rcode()), [record.address for rrset in answer.answer for record in rrset]]
elif what == "change":
    update = dns.update.UpdateMessage(name)
    update.add(name, 5, "A", "192.0.2.66")
    found = dns.rcode.to_text(dns.query.tcp(update, server, 3).rcode())
elif what == "copy":
    try:
        found = len(dns.zone.from_xfr(dns.query.xfr(server, name)).nodes)
    except dns.exception.DNSException as refused:
        found = str(refused)
print(json.dumps(found))
"""


def client(mesh, host, what, name):
    return json.loads(mesh.ssh(host, "python3", "-c", CLIENT, SERVER, what, name))


def test_each_client_gets_its_own_hn(mesh):
    foretold = mesh.module("cpa-1", "dns_steering", check=True, **STEERING)
    done = mesh.module("cpa-1", "dns_steering", **STEERING)
    try:
        assert foretold["changed"] and done["changed"] and foretold["diff"] == done["diff"]
        assert not mesh.module("cpa-1", "dns_steering", **STEERING)["changed"]
        assert client(mesh, "client-east", "ask", NAME) == ["NOERROR", ["198.18.1.250"]]
        assert client(mesh, "client-west", "ask", NAME) == ["NOERROR", ["198.18.2.250"]]
        seen = mesh.module("cpa-1", "dns_steering_info", **{key: STEERING[key] for key in ("zone", "server", "key_file", "name")})
        assert seen["steering"] == done["steering"] and seen["drift"] == []
    finally:
        mesh.module("cpa-1", "dns_steering", **STEERING, state="absent")
    assert client(mesh, "client-east", "ask", NAME) == ["NXDOMAIN", []]


def test_strangers_get_what_they_ask_for_and_nothing_else(mesh):
    assert client(mesh, "client-east", "ask", "ns1.mesh.example") == ["NOERROR", [SERVER]]
    assert client(mesh, "client-east", "ask", "www.elsewhere.example") == ["REFUSED", []]
    for zone in (ZONE, "mesh.example"):
        assert client(mesh, "client-east", "change", zone) == "REFUSED"
        assert "NOTAUTH" in client(mesh, "client-east", "copy", zone)
    assert mesh.refused(SERVER, 8081), "the API listens on the loopback only"


def test_only_their_owners_read_secrets(mesh):
    modes = mesh.shell("cpa-1", "stat -c '%a %U' /etc/vmatrix/dns/*.key /etc/powerdns/pdns.d/vmatrix-api.conf /var/lib/powerdns/vmatrix.sqlite3")
    assert modes.split("\n")[:3] == ["600 root", "600 pdns", "600 pdns"]
