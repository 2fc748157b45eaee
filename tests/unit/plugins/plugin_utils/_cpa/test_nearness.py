# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of HNs on the round Earth, and by measurement."""

from __future__ import annotations

import math

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.filter.steering_regions import steering_regions
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import nearness
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.nearness import Place, distance, nearest, order, place, quickest

HALF_WAY_ROUND = math.pi * nearness.RADIUS
PLACES = st.builds(Place, st.floats(-90, 90), st.floats(-180, 180))
MESHES = st.dictionaries(st.sampled_from(["hn-a", "hn-b", "hn-c", "hn-d", "hn-e"]), PLACES, min_size=1)
METRE = 0.001


def vector(where):
    """The place as a unit vector from the middle of the Earth."""
    latitude, longitude = math.radians(where.latitude), math.radians(where.longitude)
    return math.cos(latitude) * math.cos(longitude), math.cos(latitude) * math.sin(longitude), math.sin(latitude)


def by_vectors(one, other):
    """The same distance by another formula, which is exact everywhere: the angle between vectors from their cross and dot products."""
    a, b = vector(one), vector(other)
    cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    return nearness.RADIUS * math.atan2(math.sqrt(sum(c * c for c in cross)), sum(x * y for x, y in zip(a, b)))


def turned(where, degrees):
    """The place when the globe has been turned."""
    return Place(where.latitude, math.remainder(where.longitude + degrees, 360))


def told_apart(where, mesh):
    """Whether the HNs are so different in their distance, by a kilometre at least, that their names do not decide."""
    distances = sorted(distance(where, one) for one in mesh.values())
    return all(later - earlier > 1 for earlier, later in zip(distances, distances[1:]))


@given(PLACES, PLACES)
@example(Place(0, 179.9), Place(0, -179.9))
@example(Place(90, 12), Place(-90, -50))
@example(Place(0, 0), Place(0, 180))
def test_distance_is_what_another_formula_says(here, there):
    # Near the other end of the Earth the haversine loses digits; half a kilometre of 20,000 changes no order that matters.
    assert distance(here, there) == pytest.approx(by_vectors(here, there), rel=1e-6, abs=0.5)
    assert 0 <= distance(here, there) <= HALF_WAY_ROUND + METRE
    assert distance(here, there) == pytest.approx(distance(there, here))


@given(PLACES, PLACES, PLACES)
def test_no_way_round_is_shorter(one, via, other):
    assert distance(one, other) <= distance(one, via) + distance(via, other) + 1.0


@given(PLACES, MESHES, st.floats(-720, 720))
def test_turning_the_globe_changes_no_order(where, mesh, degrees):
    """So the date line, which is nothing but a place to begin counting, does not matter."""
    assume(told_apart(where, mesh))
    assert nearest(where, mesh) == nearest(turned(where, degrees), {hn: turned(one, degrees) for hn, one in mesh.items()})


@given(st.sampled_from([90, -90]), st.floats(-180, 180), MESHES)
def test_at_a_pole_only_the_latitude_counts(pole, longitude, mesh):
    assume(told_apart(Place(pole, longitude), mesh))
    assert nearest(Place(pole, longitude), mesh) == sorted(mesh, key=lambda hn: abs(pole - mesh[hn].latitude))


@given(PLACES, MESHES)
def test_the_order_has_each_hn_once_and_the_nearest_first(where, mesh):
    found = nearest(where, mesh)
    assert sorted(found) == sorted(mesh)
    assert by_vectors(where, mesh[found[0]]) <= min(by_vectors(where, one) for one in mesh.values()) + 1.0


def test_across_the_date_line():
    mesh = {"hn-auckland": Place(-36.8, 174.8), "hn-samoa": Place(-13.8, -171.8), "hn-lima": Place(-12.0, -77.0)}
    assert nearest(Place(-18.1, 178.4), mesh)[:2] == ["hn-samoa", "hn-auckland"], "on Fiji a map that ends at 180 degrees is wrong"
    assert nearest(Place(-17.0, -179.9), mesh)[0] == "hn-samoa" == nearest(Place(-17.0, 179.9), mesh)[0]


def test_over_the_pole():
    mesh = {"hn-svalbard": Place(78.2, 15.6), "hn-anchorage": Place(61.2, -149.9), "hn-london": Place(51.5, -0.1)}
    assert nearest(Place(85.0, -165.0), mesh) == ["hn-svalbard", "hn-anchorage", "hn-london"]


def test_known_distances():
    assert distance(Place(0, 0), Place(0, 90)) == pytest.approx(HALF_WAY_ROUND / 2)
    assert distance(Place(37.62, -122.38), Place(40.64, -73.78)) == pytest.approx(4150, rel=0.01), "San Francisco to New York"
    assert distance(Place(12, 34), Place(12, 34)) == 0


def test_equally_far_goes_by_name():
    assert nearest(Place(0, 0), {"hn-b": Place(0, 10), "hn-a": Place(0, -10), "hn-c": Place(10, 0)}) == ["hn-a", "hn-b", "hn-c"]


@given(st.dictionaries(st.sampled_from(["hn-a", "hn-b", "hn-c"]), st.floats(0, 1e6)))
def test_measured_latency_goes_first(latency):
    found = quickest(latency)
    assert sorted(found) == sorted(latency)
    assert [latency[hn] for hn in found] == sorted(latency.values())


def test_a_measurement_counts_more_than_the_map():
    mesh = {"hn-near": Place(0, 1), "hn-mid": Place(0, 10), "hn-far": Place(0, 100)}
    here = {"latitude": 0, "longitude": 0}
    assert order({"place": here}, mesh) == ["hn-near", "hn-mid", "hn-far"]
    assert order({"place": here, "latency": {"hn-far": 20}}, mesh) == ["hn-far", "hn-near", "hn-mid"]
    assert order({"latency": {"hn-far": 20, "hn-near": 30.5}}, mesh) == ["hn-far", "hn-near"]


@pytest.mark.parametrize(
    "value",
    [
        {"latitude": 91, "longitude": 0},
        {"latitude": 0, "longitude": 180.1},
        {"latitude": "north", "longitude": 0},
        {"latitude": float("nan"), "longitude": 0},
        {"latitude": 1},
        None,
    ],
)
def test_what_is_no_place(value):
    with pytest.raises(InvalidInput, match="is not a place"):
        place(value)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "slow", None])
def test_what_is_no_latency(value):
    with pytest.raises(InvalidInput, match="not a latency to hn-a"):
        quickest({"hn-a": value})


def test_the_filter():
    clients = [
        {"name": "fiji", "prefixes": ["192.0.2.0/24"], "place": {"latitude": -18.1, "longitude": 178.4}},
        {"name": "office", "prefixes": ["198.51.100.0/24"], "latency": {"hn-east": 12.5, "hn-west": 160}},
    ]
    places = {"hn-east": {"latitude": 50.1, "longitude": 8.7}, "hn-west": {"latitude": 37.4, "longitude": -122.1}}
    assert steering_regions(clients, places) == [
        {"name": "fiji", "prefixes": ["192.0.2.0/24"], "order": ["hn-west", "hn-east"]},
        {"name": "office", "prefixes": ["198.51.100.0/24"], "order": ["hn-east", "hn-west"]},
    ]
    with pytest.raises(AnsibleFilterError, match="office has neither a place nor a measured latency"):
        steering_regions([{"name": "office", "prefixes": []}], places)
