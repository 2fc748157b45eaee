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
          What shows that an instance is alive, on each declared TCP port. V(tcp) (as usual) is an accepted connection, V(http) a response to a GET
          request with a status below 500.
        type: str
        choices: [tcp, http]
      path:
        description: What an V(http) check asks for; V(/) as usual.
        type: str
      weight:
        description: An instance's share of new connections in relation to those of the others, 1 (as usual) to 100.
        type: int
"""
