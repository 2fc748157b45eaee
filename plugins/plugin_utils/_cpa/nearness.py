# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Who is near whom: the order of HNs for clients, by measured latency or by the way along the great circle."""

from __future__ import annotations

import math
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

#: Kilometres; the mean radius of the Earth (IUGG). That the Earth is not quite round makes less than 0.6 % of a distance.
RADIUS = 6371.0088


class Place(t.NamedTuple):
    """A place on the Earth, in degrees: latitude from -90 (south) to 90, longitude from -180 (west) to 180."""

    latitude: float
    longitude: float


def place(value: t.Mapping[str, t.Any]) -> Place:
    """Return {latitude, longitude} as a place; raises InvalidInput."""
    try:
        found = Place(float(value["latitude"]), float(value["longitude"]))
    except (TypeError, KeyError, ValueError) as exc:
        raise InvalidInput(f"{value!r} is not a place: it must have a latitude and a longitude in degrees.") from exc
    if not (abs(found.latitude) <= 90 and abs(found.longitude) <= 180):
        raise InvalidInput(f"{value!r} is not a place: the latitude goes from -90 to 90, the longitude from -180 to 180.")
    return found


def distance(one: Place, other: Place) -> float:
    """Return the kilometres between two places along the great circle, by the haversine formula."""
    latitudes = math.radians(one.latitude), math.radians(other.latitude)
    across = math.sin((latitudes[1] - latitudes[0]) / 2) ** 2
    along = math.sin(math.radians(other.longitude - one.longitude) / 2) ** 2
    half_chord = across + math.cos(latitudes[0]) * math.cos(latitudes[1]) * along
    # Rounding can carry it past 1 at the other end of the Earth.
    return 2 * RADIUS * math.asin(math.sqrt(min(1.0, half_chord)))


def nearest(where: Place, places: t.Mapping[str, Place]) -> list[str]:
    """Return the HNs in the order of their distance from a place; those that are equally far, to the metre, in that of their names."""
    return sorted(places, key=lambda hn: (round(distance(where, places[hn]), 3), hn))


def quickest(latency: t.Mapping[str, t.Any]) -> list[str]:
    """Return the HNs in the order of their measured latency in milliseconds; raises InvalidInput."""
    measured = {names.label("HN", hn): _milliseconds(hn, value) for hn, value in latency.items()}
    return sorted(measured, key=lambda hn: (measured[hn], hn))


def order(client: t.Mapping[str, t.Any], places: t.Mapping[str, Place]) -> list[str]:
    """Return the order of HNs for clients.

    Args:
        client: {place: {latitude, longitude}, latency: {HN: milliseconds}}, at least one of the two. A measurement counts more than the map;
            HNs without one come after those with one.
        places: where the HNs are.

    Raises:
        InvalidInput: it has neither, or something in it is invalid.
    """
    latency = client.get("latency") or {}
    if not latency and not client.get("place"):
        raise InvalidInput(f"{client.get('name', 'A client')} has neither a place nor a measured latency.")
    measured = quickest(latency)
    if not client.get("place"):
        return measured
    return measured + [hn for hn in nearest(place(client["place"]), places) if hn not in latency]


def regions(clients: t.Sequence[t.Mapping[str, t.Any]], places: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return the regions of a steering document, as M(vmatrix.mesh.dns_steering) takes them.

    Args:
        clients: {name, prefixes, place, latency} each; see order.
        places: {HN: {latitude, longitude}}.

    Raises:
        InvalidInput: something is invalid.
    """
    known = {names.label("HN", hn): place(where) for hn, where in places.items()}
    return [{"name": client["name"], "prefixes": list(client["prefixes"]), "order": order(client, known)} for client in clients]


def _milliseconds(hn: str, value: t.Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError) as exc:
        raise InvalidInput(f"{value!r} is not a latency to {hn} in milliseconds.") from exc
    if not 0 <= found < math.inf:
        raise InvalidInput(f"{value!r} is not a latency to {hn} in milliseconds.")
    return found
