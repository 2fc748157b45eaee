# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has Python keep what it compiled of zip archives, as it does of directories.

A module of Ansible reaches a host as a zip archive, and is unpacked and compiled there at each call. The tests put this file onto the lab's hosts, where a
C(.pth) file installs it whenever Python starts. The demo and the benches do without, since the hosts of users have nothing like it.
"""

from __future__ import annotations

import _imp
import marshal
import os
import zipimport

CACHE = "/var/cache/compiled-once"

_get_module_code = getattr(zipimport, "_get_module_code")


def _get_kept_code(importer: zipimport.zipimporter, fullname: str) -> tuple[object, bool, str]:
    """Return the code of a module, whether it is a package, and its path; from the cache if a source of the same size and checksum was compiled before."""
    path = getattr(zipimport, "_get_module_path")(importer, fullname)
    for suffix, is_package in (("/__init__.py", True), (".py", False)):
        entry = getattr(importer, "_files").get(path + suffix)
        if entry:
            break
    else:
        return _get_module_code(importer, fullname)
    # The path that tracebacks name, the size, and the CRC-32.
    origin, size, crc = entry[0], entry[3], entry[7]
    kept = f"{CACHE}/{fullname}-{size}-{crc:08x}"
    try:
        with open(kept, "rb") as file:
            code = marshal.loads(file.read())
    except (OSError, EOFError, ValueError, TypeError):
        code = _get_module_code(importer, fullname)[0]
        try:
            with open(f"{kept}.{os.getpid()}", "wb") as file:
                marshal.dump(code, file)
            os.replace(file.name, kept)
        except OSError:
            # Who may not write there compiles each time.
            pass
    else:
        # The archive that it came in had another name.
        getattr(_imp, "_fix_co_filename")(code, origin)
    return code, is_package, origin


def install() -> None:
    """Have it so in this process from now on."""
    setattr(zipimport, "_get_module_code", _get_kept_code)
