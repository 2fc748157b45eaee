# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules say of how instances share callers."""

from __future__ import annotations


class ModuleDocFragment:
    """The option C(balance) of modules that take it at the top."""

    DOCUMENTATION = r"""
options:
  balance:
    description: How the instances of the service share its callers; what is not said is as usual.
    type: dict
    suboptions:
      policy:
        description: >-
          V(spread) (as usual) gives each new connection to the next instance, by weight; V(sticky) gives all connections of one source address
          to the same instance as long as it is in rotation.
        type: str
        choices: [spread, sticky]
      check:
        description: >-
          What shows that an instance is alive. V(tcp) (as usual) is an accepted connection, V(http) and V(https) a response to a GET request with the
          right status (no certificate is looked at), V(udp) a port that is not refused, V(arp) a guest that answers for its address. Where a service
          declares several TCP ports and none is named, or none at all, V(tcp) is V(arp).
        type: str
        choices: [tcp, http, https, udp, arp]
      path:
        description: What an V(http) or V(https) check asks for; V(/) as usual.
        type: str
      ping:
        description: Whether the public address answers a ping while an instance is alive; V(true) as usual.
        type: bool
      check_port:
        description: The declared port that is asked; as usual the only one that there is.
        type: int
      check_status:
        description: The HTTP status that counts, such as V(200), or a range such as V(200-399); V(100-499) as usual.
        type: str
      check_interval:
        description: Seconds from one attempt to the next, V(0.2) to V(300); V(2) as usual.
        type: float
      check_timeout:
        description: Seconds that an attempt may take in all, V(0.1) to V(30); V(1) as usual.
        type: float
      check_failures:
        description: How many attempts in a row must fail before an instance leaves the rotation, V(1) to V(20); V(2) as usual.
        type: int
      weight:
        description: An instance's share of new connections in relation to those of the others, 1 (as usual) to 100.
        type: int
"""
