# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks can be looked at before anything is said, as editors and automation controllers do."""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_no_playbook_needs_a_variable_to_be_read():
    playbooks = sorted((ROOT / "playbooks").glob("*.yml"))
    assert len(playbooks) > 20
    argv = [sys.executable, "-m", "ansible", "playbook", "--syntax-check", "-i", "localhost,", *map(str, playbooks)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
