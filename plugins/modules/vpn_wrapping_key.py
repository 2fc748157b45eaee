#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpn_wrapping_key
short_description: Give a gateway the key that opens envelopes
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes the wrapping key pair (X25519) of a gateway where there is none. The private key is readable by root only, and never leaves the gateway.
  - Private keys of services travel in envelopes that one gateway can open with it.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - cryptography 38 or newer (Debian's C(python3-cryptography))
options: {}
seealso:
  - module: vmatrix.mesh.vpn_certificate
  - module: vmatrix.mesh.vpn_tunnel
"""

EXAMPLES = r"""
- name: Make sure that this gateway can open envelopes
  vmatrix.mesh.vpn_wrapping_key:
  register: wrapping
"""

RETURN = r"""
public_key:
  description: The public half, in base64; V(none) in check mode when it would be made.
  returned: success
  type: str
  sample: 3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=
fingerprint:
  description: Its SHA-256 in hexadecimal, by which envelopes name their reader; V(none) like RV(public_key).
  returned: success
  type: str
  sample: 822b76daa261f9a34b70dc65d54912c5040627da514ed74861cc7a0b143e1a0e
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import tunnels


def main() -> None:
    """Run the module."""
    run_module(tunnels.key, libraries=[Library(*library) for library in tunnels.LIBRARIES], argument_spec={})


if __name__ == "__main__":
    main()
