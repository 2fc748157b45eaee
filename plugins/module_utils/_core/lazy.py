# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Libraries that are imported when they are first used: most calls need few of those that an engine may need, and importing takes longer than what they do."""

from __future__ import annotations

import importlib
import importlib.util
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError


class Lazy:
    """A library in whose stead this can be used.

    Attributes:
        name: what it is imported as.
        problem: why it cannot be imported, in the words of that import, or None; to find that out it is looked for, but not imported.
    """

    def __init__(self, name: str, *parts: str) -> None:
        """Stand for library *name* and those *parts* of it that are not imported with it."""
        self.name = name
        self.problem = None if importlib.util.find_spec(name) else f"ModuleNotFoundError: No module named {name!r}"
        self._parts = parts

    def __getattr__(self, attribute: str) -> t.Any:
        return getattr(self.load(), attribute)

    def load(self) -> t.Any:
        """Import it, unless that was done before, and return it; raise MeshError where that cannot be done."""
        try:
            for part in self._parts:
                importlib.import_module(f"{self.name}.{part}")
            return importlib.import_module(self.name)
        except ImportError as exc:
            raise MeshError(f"The Python library {self.name} cannot be used on this host: {type(exc).__name__}: {exc}.") from exc
