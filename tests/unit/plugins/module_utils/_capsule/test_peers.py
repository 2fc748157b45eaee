# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an RM is known by, and what it has written down of others."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.peers import Known, known


def test_what_is_there_is_told(tmp_path):
    def look():
        return known(str(tmp_path / "id_ed25519"), str(tmp_path / "host*.pub"), str(tmp_path), str(tmp_path))

    assert look() == Known(None, None, None, None, None)
    (tmp_path / ".ssh").mkdir()
    for name, text in (("host.pub", "ssh-ed25519 A\n"), ("id_ed25519.pub", "ssh-ed25519 B\n"), ("known_hosts", "C\n"), (".ssh/authorized_keys", "")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert look() == Known("ssh-ed25519 A\n", None, "C\n", "", None), "a public half without the private one is no key"
    (tmp_path / "id_ed25519").write_text("secret", encoding="utf-8")
    assert look().transfer_key == "ssh-ed25519 B\n"
    (tmp_path / "host_rsa.pub").write_text("ssh-rsa D\n", encoding="utf-8")
    assert look().host_key == "ssh-ed25519 A\nssh-rsa D\n", "an sshd may show one of them only"
