# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has Python keep what it compiled of zip archives, as it does of directories.

A module of Ansible reaches a host as a zip archive, and is compiled there at each call. The tests put this file onto the lab's hosts, where a C(.pth)
file installs it whenever Python starts. The demo and the benches do without, since the hosts of users have nothing like it.
"""

from __future__ import annotations

import _imp
import _sha1
import marshal
import os
import zipimport

CACHE = "/var/cache/compiled-once"

_compile = getattr(zipimport, "_compile_source")


def _compile_once(path: str, source: bytes) -> object:
    """Return the code of a source file, from the cache if it was compiled before."""
    kept = os.path.join(CACHE, _sha1.sha1(source).hexdigest())
    try:
        with open(kept, "rb") as file:
            code = marshal.load(file)
    except (OSError, EOFError, ValueError, TypeError):
        code = _compile(path, source)
        try:
            with open(f"{kept}.{os.getpid()}", "wb") as file:
                marshal.dump(code, file)
            os.replace(file.name, kept)
        except OSError:
            # Who may not write there compiles each time.
            pass
        return code
    # Tracebacks shall name the archive that it came in.
    getattr(_imp, "_fix_co_filename")(code, path)
    return code


def install() -> None:
    """Have it so in this process from now on."""
    setattr(zipimport, "_compile_source", _compile_once)
