# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an RM writes down of others, from the inventory's variables."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import yaml

ROLE = pathlib.Path(__file__).resolve().parents[3] / "roles" / "rm"
WRITTEN = ("known_hosts", "authorized_keys", "ssh_config")


def peers(number):
    """Return what a host has registered that has keys."""
    found = {"host_key": f"ssh-ed25519 HOST{number} c\nssh-rsa RSA{number} c\n", "transfer_key": f"ssh-ed25519 KEY{number} vmatrix-transfer@x\n"}
    return {"rm_peers": {"answers": {"peers": {"result": {**found, "known_hosts": None, "authorized_keys": None}}}}}


HOSTS = {
    "rm-east-1": {"rm_address": "10.0.0.11", "rm_peer_addresses": {"RM_2.example.com": "203.0.113.7"}, "rm_transfer_ciphers": ["aes256-ctr"]},
    "RM_2.example.com": {"rm_address": "10.1.0.12", "rm_ssh_port": 2222, "rm_transfer_from": ["203.0.113.7"]},
    "rm-east-3": {"rm_address": "10.0.0.13"},
    # Of this one only what was known before is left, in this run.
    "rm.east-4": {"rm_address": "10.0.0.14"},
}


VMA = "ssh-ed25519 HOST0 c\n"


def test_ports_nat_and_several_host_keys_are_written_down_and_what_is_known_is_kept(tmp_path):
    hosts = {name: {**variables, **({} if name == "rm.east-4" else peers(number))} for number, (name, variables) in enumerate(HOSTS.items(), start=1)}
    mine = hosts["rm-east-1"]["rm_peers"]["answers"]["peers"]["result"]
    mine["known_hosts"] = "10.0.0.14 ssh-ed25519 HOST4 rm.east-4\n10.0.0.14 ssh-rsa RSA4 rm.east-4\n10.0.0.15 ssh-rsa RSA5 rm-east-4\n"
    play = {
        "hosts": "rm-east-1",
        "gather_facts": False,
        "vars_files": [str(ROLE / "vars" / "main.yml")],
        "tasks": [
            {"name": "Write", "ansible.builtin.copy": {"dest": f"{tmp_path}/{each}", "content": f"{{{{ rm_to_be_known.{each} }}}}", "mode": "0600"}}
            for each in WRITTEN
        ],
    }
    # As defaults of the role, what every host may have otherwise.
    usual = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    vma = {"rm_vma": "gw-east", "rm_vma_address": "10.0.0.1", "rm_vma_port": 2022, "rm_vma_peers": {"answers": {"peers": {"result": {"host_key": VMA}}}}}
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"vars": {**usual, **vma, **local}}, "rms": {"hosts": hosts}}))
    (tmp_path / "play.json").write_text(json.dumps([play]))
    command = [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-i", str(tmp_path / "hosts.json"), str(tmp_path / "play.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    known, allowed, ways = ((tmp_path / each).read_text().splitlines()[1:] for each in WRITTEN)
    assert set(known) == {
        "gw-east ssh-ed25519 HOST0 VMA",
        "[203.0.113.7]:2222 ssh-ed25519 HOST2 RM_2.example.com",
        "[203.0.113.7]:2222 ssh-rsa RSA2 RM_2.example.com",
        "10.0.0.13 ssh-ed25519 HOST3 rm-east-3",
        "10.0.0.13 ssh-rsa RSA3 rm-east-3",
        "10.0.0.14 ssh-ed25519 HOST4 rm.east-4",
        "10.0.0.14 ssh-rsa RSA4 rm.east-4",
    }
    assert {line.split(",command=")[0] for line in allowed} == {'restrict,from="203.0.113.7"', 'restrict,from="10.0.0.13"'}
    assert "Host 10.1.0.12\n  HostName 203.0.113.7\n  Port 2222\nHost" in "\n".join(ways) and "  Ciphers aes256-ctr" in ways
    assert ways[:5] == ["Host vmatrix-vma", "  HostName 10.0.0.1", "  Port 2022", "  User vmatrix-vma", "  HostKeyAlias gw-east"]
    assert "Host 10.0.0.13\n  HostName 10.0.0.13\n  Port 22\nHost" in "\n".join(ways)
