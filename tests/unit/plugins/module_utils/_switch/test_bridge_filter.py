# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the firewall of its host meets what a Linux bridge passes on, by the settings that the kernel shows."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.bridge_filter import in_the_way

EVERYWHERE = (
    "What guests send over br-mesh passes the firewall of this host, too, which knows nothing of them (net.bridge.bridge-nf-call-iptables is 1); "
    "sysctl -w net.bridge.bridge-nf-call-iptables=0, and in /etc/sysctl.d."
)
HERE = (
    "What guests send over br-mesh passes the firewall of this host, too, which knows nothing of them (nf_call_iptables of br-mesh is 1); "
    "ip link set br-mesh type bridge nf_call_iptables 0."
)


@pytest.mark.parametrize(
    ("linux_bridge", "everywhere", "here", "expected"),
    [
        (True, "1", "0", [EVERYWHERE]),
        (True, "1", None, [EVERYWHERE]),
        (True, "0", "1", [HERE]),
        (True, "0", "0", []),
        (True, None, None, []),
        (False, "1", None, []),
    ],
    ids=["all bridges", "an old kernel", "this bridge", "off", "not loaded", "another switch"],
)
def test_the_setting_is_named_where_frames_pass_the_firewall(tmp_path, linux_bridge, everywhere, here, expected):
    settings, interfaces = tmp_path / "sys", tmp_path / "net"
    own = interfaces / "br-mesh" / ("bridge" if linux_bridge else "statistics")
    own.mkdir(parents=True)
    for path, value in ((settings / "net" / "bridge" / "bridge-nf-call-iptables", everywhere), (own / "nf_call_iptables", here)):
        if value is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
    assert in_the_way("br-mesh", str(settings), str(interfaces)) == expected
