# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The archive of the engines on a host; its whole way there shows the test of the action plugin."""

from __future__ import annotations

import hashlib

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import archive
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.archive import Installed, install, origin
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

NEW = b"new engines"
SHA256 = hashlib.sha256(NEW).hexdigest()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "sent.zip"
    path.write_bytes(NEW)
    return str(path)


def test_it_has_to_be_brought_only_when_it_is_not_there(tmp_path, source):
    path = tmp_path / "engines.zip"
    assert install(str(path), SHA256, None) == Installed(True, None, True)
    assert not path.exists()
    assert install(str(path), SHA256, source) == Installed(True, None, False)
    assert install(str(path), SHA256, None) == Installed(False, SHA256, False)


def test_what_was_altered_on_its_way_is_not_installed(tmp_path, source):
    path = tmp_path / "engines.zip"
    path.write_bytes(b"old engines")
    with pytest.raises(InvalidInput, match="what was sent is not what was to be installed"):
        install(str(path), "0" * 64, source)
    assert path.read_bytes() == b"old engines"


def test_a_dry_run_changes_nothing(tmp_path, source):
    path = tmp_path / "made" / "engines.zip"
    assert install(str(path), SHA256, source, check=True) == Installed(True, None, False)
    assert not path.parent.exists()


def test_engines_that_were_sent_know_the_archive_that_they_came_in(monkeypatch):
    monkeypatch.setattr(archive, "__file__", f"/var/cache/vmatrix/engines/{SHA256}/ansible_collections/vmatrix/mesh/plugins/module_utils/_core/archive.py")
    assert origin() == SHA256
