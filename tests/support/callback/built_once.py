# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has runs of Ansible share the archives that they send to hosts.

Each run builds that of every module which it uses, out of some seventy files, and keeps it as long as it lasts. The tests run it some five hundred times and
change no module in between. The demo and the benches do without, since users do.
"""

from __future__ import annotations

import os
import typing as t

from ansible import constants as C
from ansible.plugins.callback import CallbackBase

#: The environment variable that names the directory of the archives.
DIRECTORY = "VMATRIX_BUILT_ONCE"


class CallbackModule(CallbackBase):
    """Puts the shared directory where a run looks for the archives that it has built."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "built_once"

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        """Do so before the first task; the run removes the link with its other temporary files."""
        os.symlink(os.environ[DIRECTORY], os.path.join(C.DEFAULT_LOCAL_TMP, "ansiballz_cache"))
