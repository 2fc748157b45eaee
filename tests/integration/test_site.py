# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What drifts on a host is found by one look of the playbook site, foretold in check mode, and mended; hosts that are as described are left alone."""

from __future__ import annotations

import json

#: Where it drifts, by which commands, what the look says of it, and the task that mends it. Nothing of it disturbs a guest, a tunnel or a name.
DRIFT = (
    ("rm-west-2", "rm /etc/tmpfiles.d/vmatrix-transfer.conf", "There is no /etc/tmpfiles.d/vmatrix-transfer.conf.", "Describe the directories of transfers"),
    ("rm-west-2", "chmod 0750 /var/lib/vmatrix/epochs", "/var/lib/vmatrix/epochs has mode 0750, not 0755.", "Make the directories of instances"),
    ("rm-west-2", "usermod --comment x vmatrix", "'x', not 'Receives capsules", "Make the user that receives from other RMs"),
    ("rm-west-2", "rm /etc/systemd/system/multi-user.target.wants/vmatrix-switch-br-mesh.service", "Not as described: switch.", "Set the switch up"),
    ("rm-west-1", "sed -i '/rm-east-1$/d' /etc/vmatrix/transfer/known_hosts", "What it knows of other RMs differs.", "Let the other RMs in"),
    ("other-owner", "rm /etc/sysctl.d/60-vmatrix-vpn.conf", "There is no /etc/sysctl.d/60-vmatrix-vpn.conf.", "Let the host forward"),
    ("other-owner", "rm /etc/systemd/system/strongswan.service", "There is no /etc/systemd/system/strongswan.service.", "Keep strongSwan's own service"),
    (
        "other-owner",
        "systemctl -q disable --now vmatrix-vpn",
        "vmatrix-vpn.service is not enabled. The unit vmatrix-vpn.service is not running.",
        "Keep tunnels up",
    ),
    ("other-owner", "echo >> /usr/lib/vmatrix/engines.zip", "Not as described: engines.", "Install the engines"),
    ("cpa-1", "chmod 0755 /etc/vmatrix/dns", "/etc/vmatrix/dns has mode 0755, not 0700.", "Make the directory of the keys"),
)
#: The same by modules: where, which, with which options; then the host that differs.
HN = {"name": "hn-west", "public_pools": ["198.18.2.0/24"], "vlan_first": 100, "vlan_last": 4000, "vcpu_overcommit": 9}
RECORD = {"zone": "mesh.example", "server": "127.0.0.1", "key_file": "/etc/vmatrix/dns/platform.key", "name": "ns1.mesh.example", "values": ["198.18.0.4"]}
#: What the task for it does is not told to everybody.
RENEWED = {"name": "vpn.example.org", "days": 30, "renew_before": 1, "renew": True}
ALTERED = (
    ("gw-west", "vma_hn", HN, "gw-west", "Not as described: hn.", "Set the registry up"),
    ("gw-west", "vma_rm", {"name": "rm-west-1", "vcpus": 99}, "rm-west-1", "What its VMA knows of it differs.", "Tell the VMA"),
    ("cpa-1", "dns_record_set", {**RECORD, "ttl": 60}, "cpa-1", "Not as described: addresses of ns1.mesh.example.", "Set the addresses of hosts"),
    ("other-owner", "vpn_certificate", RENEWED, "other-owner", "Not as described: certificate.", ""),
)
UNTOUCHED = {"gw-east", "rm-east-1", "rm-east-2", "owner-gw"}


def changes(play):
    """Return what a run changed: hosts and tasks."""
    return {(host, task.rpartition(" : ")[2]) for host, task, result in play.results if result.get("changed")}


def drift(mesh):
    """Let hosts drift, and return where, what the look will say of it, and the task that mends it."""
    for where in {where for where, *unused in ALTERED}:
        altered = mesh.modules(where, *((module, arguments, False) for at, module, arguments, *unused in ALTERED if at == where))
        assert all(result["changed"] for result in altered), altered
    for where in {where for where, *unused in DRIFT}:
        mesh.shell(where, "\n".join(command for at, command, *unused in DRIFT if at == where))
    return [(where, *told) for where, unused, *told in DRIFT] + [tuple(told) for unused, module, arguments, *told in ALTERED]


def test_what_drifted_is_found_foretold_and_mended(mesh):
    # Other tests change by modules what RMs hold, of which nobody tells their VMAs.
    told = mesh.play("site")
    assert told.ok, told.output
    drifted = drift(mesh)
    before = mesh.snapshot()
    foretold = mesh.play("site", check=True)
    assert foretold.ok, foretold.output
    mesh.must_be(before, "check mode changed something")
    done = mesh.play("site")
    assert done.ok, done.output

    *different, unused = foretold.result("Say what differs")["msg"]
    said = {line.partition(": ")[0]: line for line in different}
    for host, sentence, task in drifted:
        assert sentence in said[host], said
        for play in (foretold, done):
            assert any(at == host and name.startswith(task) for at, name in changes(play)), f"{host}: {task}:\n{play.output}"
    assert "BEGIN" not in json.dumps(foretold.result("Look", "other-owner")), "certificates are nobody's business"
    assert changes(foretold) <= changes(done), "what was foretold was not done"
    assert not UNTOUCHED & {*said, *(host for host, task in changes(done))}

    again = mesh.play("site")
    assert again.ok and again.changed == 0, again.output
    (everybody,) = again.result("Say what differs")["msg"]
    assert everybody == f"{len(said) + len(UNTOUCHED)} of {len(said) + len(UNTOUCHED)} hosts are as they should be."


def test_where_a_look_cannot_tell_the_role_runs(mesh):
    """The VMA takes no part, so nobody can say what it knows of the RM."""
    limited = mesh.play("site", limit="rm-west-2")
    assert limited.ok and limited.changed == 0, limited.output
    assert limited.result("Say what differs")["msg"][0] == "rm-west-2: What its VMA knows of it differs."
    assert limited.result("Tell the VMA", "rm-west-2")["changed"] is False


def test_a_way_between_rms_that_does_not_work_is_one_sentence(mesh):
    """A firewall that is not ours refuses one RM; nothing else would notice before a guest stands still for its move."""
    rules = "add table inet strange; add chain inet strange input { type filter hook input priority -10; }"
    try:
        mesh.shell("rm-west-2", f"nft '{rules}; add rule inet strange input ip saddr 10.81.0.11 tcp dport 22 reject with tcp reset'")
        # A connection that is kept would do.
        mesh.shell("rm-east-1", "rm -rf /run/vmatrix/connections")
        told = mesh.play("site")
        assert not told.ok and told.messages == ["The connection to RM rm-west-2 at 10.82.0.12 was cut (" + told.messages[0].partition("(")[2]], told.output
    finally:
        mesh.shell("rm-west-2", "nft delete table inet strange")
    again = mesh.play("site")
    assert again.ok and again.changed == 0, again.output
