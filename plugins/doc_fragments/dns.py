# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the options by which modules reach a zone."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of modules that look at a zone, and of those that change it."""

    DOCUMENTATION = r"""
requirements:
  - dnspython 2.3 or newer (Debian's C(python3-dnspython))
options:
  zone:
    description: The zone.
    type: str
    required: true
  server:
    description: The address of the zone's primary, with C(@PORT) behind it if that is not 53, such as V(192.0.2.53@5353).
    type: str
    required: true
  servers:
    description:
      - The authoritative servers of the zone, written like O(server).
      - If this is not given, it is O(server) and each address of each name in the zone's NS records.
    type: list
    elements: str
  timeout:
    description: How many seconds the questions and changes at the primary may take.
    type: float
    default: 10
"""

    CONFIRM = r"""
options:
  confirm_timeout:
    description:
      - How many seconds the authoritative servers have until all of them must serve what is wanted.
      - The module fails if one of them does not; what the primary has taken stays. With V(0) none is asked.
    type: float
    default: 30
"""

    KEY = r"""
options:
  key_file:
    description:
      - The file with the TSIG key, on the host where the module runs, in the form of BIND 9's tools; M(vmatrix.mesh.dns_key) makes one.
      - Only C(hmac-sha256), C(hmac-sha384) and C(hmac-sha512) are taken.
    type: path
"""

    REGIONS = r"""
options:
  regions:
    description: Clients that get another order.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The region's name.
        type: str
        required: true
      prefixes:
        description: Its clients.
        type: list
        elements: str
        required: true
      order:
        description: The HNs, nearest first.
        type: list
        elements: str
        required: true
  answers:
    description: How many HNs an answer holds.
    type: int
    default: 1
  ttl:
    description: How many seconds an answer may be kept.
    type: int
    default: 5
"""

    STEERING = r"""
options:
  driver:
    description:
      - How the name server steers.
      - V(powerdns) uses LUA records. The server tells clients apart by the prefix that their resolvers tell (EDNS client subnet) or by their
        own address, and leaves HNs out that do not answer. The zone must be one that only the platform's key can change, see M(vmatrix.mesh.dns_zone).
      - V(bind) writes into one view for each region. Which clients a view is for, and which key, stands in the server's own configuration.
        There are no health checks and no EDNS client subnet.
    type: str
    default: powerdns
    choices: [powerdns, bind]
  views:
    description: The views, with O(driver=bind); one of them is V(rest), for all clients that no region names.
    type: list
    elements: dict
    suboptions:
      region:
        description: The region that the view is for.
        type: str
        required: true
      key_file:
        description: The file with the TSIG key by which the server knows the view, see O(key_file).
        type: path
        required: true
"""
