# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RMs are let in by their keys, for one command."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import admission

KEY = "ssh-ed25519 " + "A" * 68


def test_an_rm_is_let_in_and_not_any_more(tmp_path):
    path = str(tmp_path / "authorized_keys")
    assert admission.admit("rm-east-1", f"{KEY} vmatrix-transfer@rm-east-1\n", path=path)
    assert not admission.admit("rm-east-1", KEY, path=path)
    assert admission.admit("rm-east-2", KEY.replace("A", "B"), path=path)
    assert admission.admitted(path) == {"rm-east-1": KEY, "rm-east-2": KEY.replace("A", "B")}
    lines = (tmp_path / "authorized_keys").read_text().splitlines()
    assert len(lines) == 2 and all(line.startswith('restrict,command="') for line in lines)
    assert all(f'_vma.relay rm-east-{number}" ssh-' in line for number, line in enumerate(lines, 1))
    assert admission.admit("rm-east-1", None, path=path) and list(admission.admitted(path)) == ["rm-east-2"]


def test_check_mode_changes_nothing(tmp_path):
    path = str(tmp_path / "missing" / "authorized_keys")
    assert admission.admit("rm-east-1", KEY, check=True, path=path)
    assert not (tmp_path / "missing").exists() and admission.admitted(path) == {}


@pytest.mark.parametrize("rm, key", [("rm-east-1", "ssh-dss AAAA"), ("rm-east-1", f'{KEY}\nssh-ed25519 {"C" * 68}"'), ("rm 1", KEY), ('rm"', KEY)])
def test_what_is_no_key_or_no_name_is_refused(tmp_path, rm, key):
    path = str(tmp_path / "authorized_keys")
    if "\n" in key:
        admission.admit(rm, key, path=path)
        assert admission.admitted(path) == {rm: KEY}, "a comment has no lines of its own"
        return
    with pytest.raises(InvalidInput):
        admission.admit(rm, key, path=path)
