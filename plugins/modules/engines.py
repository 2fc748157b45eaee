#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: engines
short_description: Install the mesh's engines on a host
version_added: 0.1.0
description:
  - Installs the Python code that does the work of this collection's modules as one archive, for what must run on a host without Ansible,
    such as the receiving end of a transfer between RMs, or the restoring of domain routers when a gateway boots.
  - A program there imports it with the archive's path in E(PYTHONPATH).
  - The archive's bytes depend on nothing but the collection's own files, so a second run changes nothing.
author:
  - The vmatrix.mesh founders (@vmatrix)
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
options:
  path:
    description:
      - Where to put the archive.
      - Its directory is made if it is missing.
    type: path
    default: /usr/lib/vmatrix/engines.zip
  sha256:
    description:
      - The SHA-256 of the archive in hexadecimal.
      - The action plugin sets it, whatever a playbook says.
    type: str
  source:
    description:
      - Where on the host the archive is before it is installed.
      - The action plugin sets it, whatever a playbook says.
    type: path
"""

EXAMPLES = r"""
- name: Install the engines
  vmatrix.mesh.engines:

- name: Install the engines somewhere else
  vmatrix.mesh.engines:
    path: /opt/vmatrix/engines.zip
"""

RETURN = r"""
path:
  description: Where the archive is.
  type: str
  returned: success
  sample: /usr/lib/vmatrix/engines.zip
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import archive
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import engines


def main() -> None:
    """Run the module."""
    run_module(
        engines.install,
        argument_spec={
            "path": {"type": "path", "default": archive.PATH},
            "sha256": {"type": "str"},
            "source": {"type": "path"},
        },
    )


if __name__ == "__main__":
    main()
