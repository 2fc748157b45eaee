# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What went wrong in a wave."""

from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: wave_failures
short_description: What went wrong in a wave
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads the results that P(vmatrix.mesh.wave#role) left on the devices of a wave.
options:
  _input:
    description: The variables of each device.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what went wrong
  ansible.builtin.debug:
    msg: "{{ wave_parts.keys() | map('extract', hostvars) | vmatrix.mesh.wave_failures }}"
"""

RETURN = r"""
_value:
  description: One sentence per device that failed or did not answer. Empty when all did their part.
  type: list
  elements: str
  sample: ["rm-west-1: The parcel of shop-1.example.com did not arrive within 300 s."]
"""

RESULTS = ("wave_published", "wave_instance", "wave_instances", "wave_cutover", "wave_cutovers", "wave_withdrawn", "wave_router")


def wave_failures(devices: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Return one sentence per device that failed, did not answer or was never asked."""
    sentences = []
    for variables in devices:
        name = variables["inventory_hostname"]
        results = [variables[key] for key in RESULTS if key in variables and not variables[key].get("skipped")]
        if not results:
            sentences.append(f"{name}: it was not asked.")
        for result in results:
            if result.get("unreachable"):
                sentences.append(f"{name}: it does not answer.")
            elif result.get("failed"):
                sentences.append(f"{name}: {result.get('msg', 'it failed without a word.')}")
    return sentences


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"wave_failures": wave_failures}
