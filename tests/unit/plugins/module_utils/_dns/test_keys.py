# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TSIG keys in files."""

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import keys

STRONG = "b2ggc28gc2VjcmV0Ly9vaCBzbyBzZWNyZXQvLyEhISE="


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "platform.key")


def test_a_key_is_made_once_and_kept(path):
    assert keys.present(path, "platform", check=True).changed
    assert not os.path.exists(path)
    assert keys.present(path, "platform").changed
    made = keys.read(path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert not keys.present(path, "platform").changed
    assert keys.read(path) == made


def test_two_keys_differ(tmp_path):
    for name in ("one", "other"):
        keys.present(str(tmp_path / name), "same-name")
    assert keys.read(str(tmp_path / "one")) != keys.read(str(tmp_path / "other"))


def test_a_file_that_others_can_read_is_closed(path):
    keys.present(path, "platform")
    made = keys.read(path)
    os.chmod(path, 0o644)
    assert keys.present(path, "platform").changed
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert keys.read(path) == made


def test_nothing_that_is_returned_or_printed_has_the_secret(path):
    done = keys.present(path, "platform", secret=STRONG)
    assert keys.read(path).secret == STRONG
    assert STRONG not in repr(done) + repr(keys.read(path)) + str(keys.read(path))
    another = keys.present(path, "platform", secret="A" * 44)
    assert another.changed and another.before != another.after and "A" * 44 not in repr(another)


def test_bind_reads_what_we_write(path, tmp_path):
    keys.present(path, "platform", "hmac-sha512")
    (tmp_path / "named.conf").write_text(f'include "{path}";\n')
    done = subprocess.run(["named-checkconf", "-p", str(tmp_path / "named.conf")], capture_output=True, text=True, check=True)
    assert "hmac-sha512" in done.stdout and keys.read(path).secret in done.stdout


def test_we_read_what_bind_writes(path):
    made = subprocess.run(["tsig-keygen", "-a", "hmac-sha384", "theirs"], capture_output=True, text=True, check=True).stdout
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(f"# made elsewhere\n{made}")
    found = keys.read(path)
    assert (found.name, found.algorithm) == ("theirs", "hmac-sha384") and f'"{found.secret}"' in made


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not hold one key"),
        (f'key "a" {{ algorithm hmac-sha256; secret "{STRONG}"; }}; key "b" {{ algorithm hmac-sha256; secret "{STRONG}"; }};', "does not hold one key"),
        (f'key "a" {{ algorithm hmac-md5; secret "{STRONG}"; }};', "strong enough"),
        (f'key "a" {{ algorithm hmac-sha1; secret "{STRONG}"; }};', "strong enough"),
        ('key "a" { algorithm hmac-sha256; secret "c2hvcnQ="; };', "can be guessed"),
        ('key "a" { algorithm hmac-sha256; secret "AAA"; };', "base64"),
        (f'key "no name" {{ algorithm hmac-sha256; secret "{STRONG}"; }};', "does not hold one key"),
    ],
)
def test_a_bad_file_gets_one_sentence(path, text, says):
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(text)
    with pytest.raises(InvalidInput, match=says) as refused:
        keys.read(path)
    assert STRONG not in refused.value.message


def test_a_missing_file_or_directory_is_named(path, tmp_path):
    with pytest.raises(NotFound, match="platform.key"):
        keys.read(path)
    with pytest.raises(NotFound, match="no directory"):
        keys.present(str(tmp_path / "nowhere" / "a.key"), "platform")


def test_absent(path):
    keys.present(path, "platform")
    assert keys.absent(path, check=True).changed and os.path.exists(path)
    assert keys.absent(path).changed and not os.path.exists(path)
    assert not keys.absent(path).changed
