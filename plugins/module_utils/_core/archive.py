# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The archive of the engines on a host: installing it, and telling by which one a program runs."""

from __future__ import annotations

import os
import pathlib
import stat
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import files
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

PATH = "/usr/lib/vmatrix/engines.zip"
#: Everybody may import from it.
MODE = 0o644


class Installed(t.NamedTuple):
    """What became of an archive.

    Attributes:
        changed: whether another one was there, or none, or not for everybody to read.
        before: the SHA-256 of the one that was there; None when there was none.
        missing: whether the archive has to be brought here first; nothing was done then.
    """

    changed: bool
    before: str | None
    missing: bool


def install(path: str, sha256: str, source: str | None, check: bool = False) -> Installed:
    """Have the archive with the digest *sha256* at *path*, in a directory that is made if need be.

    Args:
        path: where it shall be.
        sha256: its digest in lower case hexadecimal.
        source: a file on this host that holds it, or None when nobody has brought it yet.
        check: say what would change, and change nothing.

    Raises:
        InvalidInput: it cannot be written there, or the source holds something else.
    """
    try:
        before = files.sha256_file(path)
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        before, mode = None, MODE
    except OSError as exc:
        raise _not_there(path, exc) from exc
    changed = before != sha256 or mode != MODE
    if changed and not check:
        if before == sha256:
            os.chmod(path, MODE)
        elif source is None:
            return Installed(changed, before, True)
        else:
            _write(path, sha256, source)
    return Installed(changed, before, False)


def _write(path: str, sha256: str, source: str) -> None:
    if files.sha256_file(source) != sha256:
        raise InvalidInput(f"The engines could not be installed as {path}: what was sent is not what was to be installed.")
    directory = os.path.dirname(path)
    try:
        if not os.path.isdir(directory):
            os.makedirs(directory)
            os.chmod(directory, 0o755)
        with open(source, "rb") as archive:
            files.write_atomic(path, archive.read(), MODE)
    except OSError as exc:
        raise _not_there(path, exc) from exc


def _not_there(path: str, exc: OSError) -> InvalidInput:
    return InvalidInput(f"The engines could not be installed as {path}: {exc.filename or path}: {exc.strerror}.")


def origin() -> str:
    """Return the SHA-256 of the archive that these engines came in; where operations call them, their directory is named after it."""
    return pathlib.Path(__file__).parents[6].name


def version() -> int:
    """Return when the archive that Python reads the engines from was written; a daemon that sees this change must end, to be started anew."""
    return os.stat(getattr(__loader__, "archive", __file__)).st_mtime_ns
