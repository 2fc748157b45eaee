# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The engines as one archive: the same sources give the same bytes, so hosts are asked by its digest whether they have it."""

from __future__ import annotations

import io
import os
import stat
import zipfile

#: Where module_utils lies in this collection, and under which name Python looks for it in the archive.
MODULE_UTILS = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "module_utils")
PACKAGE = "ansible_collections/vmatrix/mesh/plugins/module_utils"

#: The edge to Ansible; a host need not have Ansible.
NOT_AN_ENGINE = "_module"

#: The oldest time that a zip file can hold: the bytes of the archive depend on its content only.
EPOCH = (1980, 1, 1, 0, 0, 0)


def archive(module_utils: str) -> bytes:
    """Return the engines below the directory *module_utils* as a zip file; the same sources give the same bytes.

    Nothing is compressed, because compressed bytes differ between versions of zlib.
    """
    files: dict[str, str] = {}
    for directory, subdirectories, names in os.walk(module_utils):
        inside = os.path.relpath(directory, module_utils)
        subdirectories[:] = [name for name in subdirectories if name != "__pycache__" and not (inside == "." and name == NOT_AN_ENGINE)]
        for name in names:
            if name.endswith(".py"):
                files[os.path.normpath(os.path.join(PACKAGE, inside, name))] = os.path.join(directory, name)

    # zipimport takes a directory without __init__.py for a (namespace) package only if it has an entry of its own.
    directories = {name[: end + 1] for name in files for end, letter in enumerate(name) if letter == "/"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as engines:
        for name in sorted(directories | set(files)):
            content = b""
            mode = stat.S_IFDIR | 0o755
            if name in files:
                mode = stat.S_IFREG | 0o644
                with open(files[name], "rb") as source:
                    content = source.read()
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix, whatever the controller is
            entry.external_attr = mode << 16
            engines.writestr(entry, content)
    return buffer.getvalue()
