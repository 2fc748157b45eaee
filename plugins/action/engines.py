# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installs the engines on a host as one archive that Python can import from."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tempfile
import typing as t
import zipfile

from ansible.plugins.action import ActionBase

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


class ActionModule(ActionBase):
    """Asks the host by the archive's digest, and sends it the archive only if need be."""

    # No temporary directory before it is known that there is something to transfer.
    TRANSFERS_FILES = False
    _requires_connection = True
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Build the archive, have it on the host, and return what the module says."""
        super().run(tmp, task_vars)
        engines = archive(MODULE_UTILS)
        arguments = {**self._task.args, "sha256": hashlib.sha256(engines).hexdigest(), "source": None}
        result, missing = self._ask(arguments, task_vars)
        if missing:
            with tempfile.NamedTemporaryFile(prefix="vmatrix-engines-", suffix=".zip") as here:
                here.write(engines)
                here.flush()
                # Where modules are not piped to Python, there is one already.
                directory = self._connection._shell.tmpdir or self._make_tmp_path()
                there = self._connection._shell.join_path(directory, "engines.zip")
                self._transfer_file(here.name, there)
            self._fixup_perms2((directory, there))
            result, missing = self._ask({**arguments, "source": there}, task_vars)
        return result

    def _ask(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> tuple[dict[str, t.Any], bool]:
        """Return the module's result, and whether the archive has to be sent first."""
        result = self._execute_module(module_name="vmatrix.mesh.engines", module_args=arguments, task_vars=task_vars)
        return result, result.pop("missing", False)
