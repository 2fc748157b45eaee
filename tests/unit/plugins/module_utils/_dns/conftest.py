# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A PowerDNS with the role's configuration and a BIND with two views, both with a customer's zone and a steering zone."""

from __future__ import annotations

import itertools
import types

import pytest
from name_servers import Bind, PowerDns, Site, free_port, key

from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import server
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.zone import Zone

CUSTOMER_ZONE = "example.test"
STEERING_ZONE = "steer.test"
numbers = itertools.count(1)


@pytest.fixture(scope="session")
def keyring(tmp_path_factory):
    """The keys of the platform, of a customer, of the views, and of somebody whom no server knows."""
    directory = tmp_path_factory.mktemp("keys")
    names = ("platform", "customer", "view-west", "view-rest", "unknown")
    return types.SimpleNamespace(directory=directory, **{name.replace("-", "_"): key(directory, name) for name in names})


@pytest.fixture(scope="session")
def powerdns(tmp_path_factory, keyring):
    daemon = PowerDns(tmp_path_factory.mktemp("powerdns"))
    try:
        daemon.wait(CUSTOMER_ZONE)
        servers = (f"ns1.{CUSTOMER_ZONE}",)
        server.present(daemon.api(), server.ZoneSpec(CUSTOMER_ZONE, servers, (keyring.customer,), (keyring.customer,)))
        server.present(daemon.api(), server.ZoneSpec(STEERING_ZONE, servers, (keyring.platform,), (keyring.platform,), steering=True))
        yield daemon
    finally:
        daemon.close()


@pytest.fixture(scope="session")
def bind(tmp_path_factory, keyring):
    views = {
        "west": {"keys": [keyring.view_west], "prefixes": ["127.2.0.0/16"], "zones": {STEERING_ZONE: keyring.view_west}},
        "rest": {
            "keys": [keyring.view_rest, keyring.customer, keyring.platform],
            "prefixes": ["any"],
            "zones": {STEERING_ZONE: keyring.view_rest, CUSTOMER_ZONE: keyring.customer},
        },
    }
    known = [keyring.view_west, keyring.view_rest, keyring.customer, keyring.platform]
    daemon = Bind(tmp_path_factory.mktemp("bind"), views, known)
    try:
        daemon.wait(CUSTOMER_ZONE)
        yield daemon
    finally:
        daemon.close()


@pytest.fixture(params=["powerdns", "bind"])
def daemon(request):
    """Both servers, one after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def zone(daemon, keyring):
    """The customer's zone, with the customer's key."""
    return Zone(CUSTOMER_ZONE, daemon.endpoint, keyring.customer)


@pytest.fixture
def name():
    """The name of a service in the customer's zone that no other test has used."""
    return f"shop{next(numbers)}.{CUSTOMER_ZONE}"


@pytest.fixture
def steered():
    """A name in the steering zone that no other test has used."""
    return f"shop{next(numbers)}.{STEERING_ZONE}"


@pytest.fixture
def sites():
    """Two HNs with a web server each."""
    port = free_port("127.81.0.1")
    found = {"hn-east": Site("127.81.0.1", port).start(), "hn-west": Site("127.82.0.1", port).start()}
    yield found
    for site in found.values():
        site.stop()
