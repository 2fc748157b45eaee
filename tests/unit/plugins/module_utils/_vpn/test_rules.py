# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of tunnels as a pure function of their documents."""

from __future__ import annotations

import re
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.rules import MARK, render

ports = st.lists(
    st.one_of(
        st.builds(lambda protocol, port: {"protocol": protocol, "port": port}, st.sampled_from(["tcp", "udp"]), st.integers(1, 65535)),
        st.just({"protocol": "icmp", "port": None}),
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def tunnels(draw):
    found = []
    for number, service in enumerate(draw(st.lists(st.sampled_from(["shop", "blog", "mail"]), unique=True, max_size=3))):
        mappings = draw(st.sets(st.integers(1, 40), max_size=4))
        backends = draw(st.sets(st.integers(1, 9), min_size=1, max_size=3))
        found.append(
            {
                "service": service,
                "local": {"address": f"198.18.1.{number + 1}"},
                "peer": {"address": "198.18.0.3"},
                "mappings": [
                    {"fabric_address": f"192.168.{number}.{last}", "intranet_address": f"172.21.{number}.{last}"} for last in sorted(mappings)
                ],
                "backends": [{"address": f"10.0.0.{last}", "ports": draw(ports)} for last in sorted(backends)],
                "inbound": draw(st.one_of(st.just([]), ports)),
            }
        )
    return found


def opened(text):
    """Return every (source, destination, port) that a new connection from an instance may have."""
    lines = [line for line in text.splitlines() if line.strip().startswith('iifname "guests" oifname "ipsec0"') and "dport" in line]
    return {triple for line in lines for triple in re.findall(r"([\d.]+) \. ([\d.]+) \. (\d+)", line)}


@given(tunnels())
def test_each_service_reaches_its_own_back_ends_and_declared_ports_only(documents):
    declared = {
        (mapping["fabric_address"], backend["address"], str(port["port"]))
        for one in documents
        for mapping in one["mappings"]
        for backend in one["backends"]
        for port in backend["ports"]
        if port["protocol"] != "icmp"
    }
    assert opened(render(documents)) == declared


@given(tunnels())
def test_what_is_not_let_in_is_dropped(documents):
    lines = [line.strip() for line in render(documents).splitlines()]
    if not documents:
        assert lines == ["table inet vmatrix_vpn", "delete table inet vmatrix_vpn"]
        return
    forward = lines[lines.index("chain forward {") : lines.index("chain input {")]
    assert forward[-3:] == ['iifname "ipsec0" drop', 'oifname "ipsec0" drop', "}"]
    assert all(f"meta mark set {MARK:#x} accept" in line for line in forward if line.endswith("accept") and "policy" not in line)
    for one in documents:
        for backend in one["backends"]:
            assert any(line.startswith('oifname != "ipsec0" ip daddr') and backend["address"] in line and line.endswith("drop") for line in lines)


@given(tunnels())
def test_the_order_of_documents_does_not_matter(documents):
    for one in documents:
        one["backends"].reverse()
    assert sorted(opened(render(documents))) == sorted(opened(render(documents[::-1])))


@given(documents=tunnels())
def test_nft_understands_it(documents):
    done = subprocess.run(["nft", "--check", "-f", "-"], input=render(documents), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
