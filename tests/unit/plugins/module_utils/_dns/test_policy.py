# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is answered with what: the pure part of steering."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import options, policy

NAME, ZONE = "shop.steer.test", "steer.test"
EAST, WEST, NORTH = "192.0.2.1", "192.0.2.2", "2001:db8:2::1"
SITES = [{"hn": "hn-west", "addresses": [WEST]}, {"hn": "hn-east", "addresses": [EAST]}, {"hn": "hn-north", "addresses": [NORTH, "192.0.2.3"]}]


def document(**more):
    wanted = {"name": NAME, "zone": ZONE, "sites": SITES, "order": ["hn-east"], **more}
    return policy.document(**wanted)


def test_one_normal_form():
    regions = [{"name": "b", "prefixes": ["10.2.0.0/16", "10.1.0.0/16"], "order": ["hn-west"]}, {"name": "a", "prefixes": ["2001:0DB8::/32"], "order": []}]
    one = document(regions=regions, name="SHOP.steer.test.")
    assert one == document(regions=regions[::-1], sites=SITES[::-1])
    assert one["regions"][0]["prefixes"] == ["2001:db8::/32"]
    assert policy.document(**one, zone=ZONE) == one


def test_the_longest_prefix_counts():
    regions = [
        {"name": "wide", "prefixes": ["10.0.0.0/8"], "order": ["hn-west"]},
        {"name": "narrow", "prefixes": ["10.1.0.0/16"], "order": ["hn-north"]},
    ]
    wanted = document(regions=regions)
    assert policy.answer(wanted, 4, "10.1.2.3") == ["192.0.2.3"]
    assert policy.answer(wanted, 4, "10.2.2.3") == [WEST]
    assert policy.answer(wanted, 4, "11.1.2.3") == [EAST]
    assert policy.answer(wanted, 4, "2001:db8::1") == [EAST]


def test_each_family_has_the_hns_that_serve_it():
    wanted = document(order=["hn-east", "hn-north"])
    assert policy.answer(wanted, 6, "10.1.2.3") == [NORTH]
    assert policy.rows(document(sites=SITES[:2]), 6) == []
    assert policy.answer(document(sites=SITES[:2]), 6, "10.1.2.3") == []


def test_dead_hns_leave_and_the_next_comes():
    wanted = document(order=["hn-east", "hn-west", "hn-north"], answers=2)
    assert policy.answer(wanted, 4, "10.1.2.3") == [EAST, WEST]
    assert policy.answer(wanted, 4, "10.1.2.3", alive={WEST, "192.0.2.3"}) == [WEST, "192.0.2.3"]
    assert policy.answer(wanted, 4, "10.1.2.3", alive={EAST}) == [EAST]
    assert policy.answer(wanted, 4, "10.1.2.3", alive=set()) == [EAST, WEST], "with all dead the check may be what is broken"


HNS = st.lists(st.sampled_from(["hn-a", "hn-b", "hn-c", "hn-d"]), unique=True)
CLIENTS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@st.composite
def documents(draw):
    serving = draw(HNS.filter(bool))
    sites = [{"hn": hn, "addresses": [f"192.0.2.{10 * index + 1}", f"192.0.2.{10 * index + 2}"]} for index, hn in enumerate(serving)]
    networks = draw(st.lists(st.tuples(CLIENTS, st.integers(0, 32)), max_size=6))
    prefixes = sorted({str(ipaddress.ip_network(f"{client}/{length * client.max_prefixlen // 32}", strict=False)) for client, length in networks})
    regions = [{"name": f"r{index}", "prefixes": [prefix], "order": draw(HNS)} for index, prefix in enumerate(prefixes)]
    return policy.document(NAME, ZONE, sites, draw(HNS), regions, answers=draw(st.integers(1, 5)))


@given(documents(), CLIENTS, st.sets(st.integers(0, 7)))
def test_whatever_the_table_everybody_gets_living_addresses_of_the_first_hns(wanted, client, dead):
    everyone = [address for site in wanted["sites"] for address in site["addresses"]]
    alive = {address for index, address in enumerate(everyone) if index not in dead}
    given_ = policy.answer(wanted, 4, str(client), alive)
    best = max(
        ((ipaddress.ip_network(prefix), region) for region in wanted["regions"] for prefix in region["prefixes"] if client in ipaddress.ip_network(prefix)),
        key=lambda entry: entry[0].prefixlen,
        default=(None, {"order": wanted["order"]}),
    )[1]
    order = list(dict.fromkeys([*best["order"], *wanted["order"], *sorted(site["hn"] for site in wanted["sites"])]))
    addresses = {site["hn"]: [one for one in site["addresses"] if one in alive or not alive] for site in wanted["sites"]}
    expected = [addresses[hn] for hn in order if addresses.get(hn)][: wanted["answers"]]
    assert given_ == [address for found in expected for address in found]
    assert given_, "nobody is left without an answer"


def test_the_table_shows_regions_and_the_rest():
    regions = [{"name": "far", "prefixes": ["10.0.0.0/8", "2001:db8:a::/48", "10.1.0.0/16"], "order": ["hn-north"]}]
    table = options.table(document(regions=regions))
    assert [row["region"] for row in table] == ["far", "rest"]
    assert table[0]["prefixes"] == ["10.0.0.0/8", "10.1.0.0/16", "2001:db8:a::/48"]
    assert table[0]["orders"] == {"A": ["hn-north", "hn-east", "hn-west"], "AAAA": ["hn-north"]}
    assert table[1]["answers"] == {"A": [EAST], "AAAA": [NORTH]}


REGION = {"name": "a", "prefixes": ["10.0.0.0/8"], "order": ["hn-east"]}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"name": "shop.elsewhere.test"}, "does not belong to the zone"),
        ({"name": "*.steer.test"}, "not a name in the DNS"),
        ({"ttl": 0}, "not a time to live"),
        ({"answers": 0}, "how many HNs"),
        ({"sites": []}, "No HN serves"),
        ({"sites": [*SITES, SITES[0]]}, "The HN hn-west is there twice"),
        ({"sites": [{"hn": "hn-east", "addresses": []}]}, "has no address"),
        ({"sites": [{"hn": "hn-east", "addresses": ["192.0.2.1'"]}]}, "not an IP address"),
        ({"sites": [{"hn": "hn-east", "addresses": ["fe80::1%eth0"]}]}, "cannot be the address"),
        ({"sites": [{"hn": "hn'east", "addresses": ["192.0.2.1"]}]}, "not a name for a HN"),
        ({"order": ["hn-east", "hn-east"]}, "there twice"),
        ({"regions": [REGION, {**REGION, "prefixes": ["10.1.0.0/16"]}]}, "The region a is there twice"),
        ({"regions": [REGION, {**REGION, "name": "b"}]}, "The prefix 10.0.0.0/8 is there twice"),
        ({"regions": [{**REGION, "prefixes": []}]}, "has no prefixes"),
        ({"regions": [{**REGION, "prefixes": ["10.0.0.1/8"]}]}, "not a prefix"),
        ({"regions": [{**REGION, "prefixes": ["10.0.0.0/8'}, {os.exit()"]}]}, "not a prefix"),
        ({"regions": [{**REGION, "name": "rest"}]}, "No region can be called rest"),
        ({"check": {"type": "icmp"}}, "not a kind of health check"),
        ({"check": {"type": "tcp"}}, "needs a port"),
        ({"check": {"type": "tcp", "port": 65536}}, "not a port"),
        ({"check": {"type": "tcp", "port": "80) os.exit("}}, "not a port"),
        ({"check": {"type": "http", "port": 80, "path": "/a'..io.popen('id')..'"}}, "not a path"),
        ({"check": {"type": "http", "port": 80, "path": "/a\nb"}}, "not a path"),
        ({"check": {"type": "http", "port": 80, "path": "/a\n"}}, "not a path"),
        ({"check": {"type": "http", "port": 80, "host": "a.b'}"}}, "not a name"),
        ({"check": {"type": "http", "port": 80, "host": "localhost"}}, "cannot be the host"),
    ],
)
def test_bad_input_gets_one_sentence(more, says):
    with pytest.raises(InvalidInput, match=says):
        document(**more)


def test_a_client_of_each_region_that_has_one():
    regions = [
        {"name": "wide", "prefixes": ["10.0.0.0/8"], "order": ["hn-west"]},
        {"name": "inner", "prefixes": ["10.0.0.0/24", "10.255.255.0/24"], "order": ["hn-east"]},
        {"name": "hidden", "prefixes": ["10.3.0.0/24"], "order": ["hn-east"]},
        {"name": "hider", "prefixes": ["10.3.0.0/25", "10.3.0.128/25"], "order": ["hn-north"]},
    ]
    found = policy.samples(document(regions=regions))
    assert set(found) == {"wide", "inner", "hider", "rest"}, "the hidden one's clients are all of another"
    for region, client in found.items():
        client = ipaddress.ip_network(client)[0]
        assert next(row.region for row in policy.rows(document(regions=regions), 4) if any(client in prefix for prefix in row.prefixes)) == region
