# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The regions of a steering document from where clients are, or from measured latency."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import nearness

DOCUMENTATION = r"""
name: steering_regions
short_description: The regions of a steering document from where clients are, or from measured latency
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Works out for each region in which order clients should get the HNs, for M(vmatrix.mesh.dns_steering).
  - Distances are those along the great circle on the round Earth, so they are right across the date line and the poles, too.
options:
  _input:
    description:
      - The regions, each with its C(name), its C(prefixes), and C(place) (C(latitude) and C(longitude) in degrees) or C(latency)
        (milliseconds to each HN that was measured), or both.
      - A measurement counts more than the map; HNs without one come after those with one.
    type: list
    elements: dict
    required: true
  places:
    description: Where each HN is, as C(latitude) and C(longitude) in degrees.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Work out who is near whom
  ansible.builtin.set_fact:
    regions: "{{ clients | vmatrix.mesh.steering_regions(places) }}"
  vars:
    places:
      hn-east: {latitude: 50.1, longitude: 8.7}
      hn-west: {latitude: 37.4, longitude: -122.1}
    clients:
      - {name: fiji, prefixes: [192.0.2.0/24], place: {latitude: -18.1, longitude: 178.4}}
      - {name: office, prefixes: [198.51.100.0/24], latency: {hn-east: 12.5, hn-west: 160}}
"""

RETURN = r"""
_value:
  description: The regions, each with its C(name), its C(prefixes) and the C(order) of HNs.
  type: list
  elements: dict
  sample:
    - {name: fiji, prefixes: [192.0.2.0/24], order: [hn-west, hn-east]}
    - {name: office, prefixes: [198.51.100.0/24], order: [hn-east, hn-west]}
"""


def steering_regions(clients: t.Sequence[t.Mapping[str, t.Any]], places: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return them; see the documentation above."""
    try:
        return nearness.regions(clients, places)
    except MeshError as exc:
        raise AnsibleFilterError(exc.message) from exc


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"steering_regions": steering_regions}
