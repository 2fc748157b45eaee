# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installs the engines on a host as one archive that Python can import from."""

from __future__ import annotations

import hashlib
import tempfile
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.vmatrix.mesh.plugins.plugin_utils.engines import MODULE_UTILS, archive


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
