# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hosts are asked by the playbook site, and what is made of their answers."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.site import calls, differences, summary, warnings


def answer(changed=False, failed=False, msg="", **result):
    return {"changed": changed, "failed": failed, "msg": msg, "unreachable": False, "result": result}


def test_what_a_host_is_asked_has_ids_by_part_and_changes_nothing():
    described = [{"call": "host", "arguments": {"packages": []}}, {"call": "zone", "name": "zone example.com", "arguments": {}, "quiet": True, "check": False}]
    variables = {"dns_described": described, "vpn_described": [{"call": "engines"}], "vma_described": [{"call": "hn"}], "hn": "hn-east"}
    assert calls(variables, ["dns", "vpn"]) == [
        {"ids": ["dns/host"], "call": "host", "arguments": {"packages": []}, "check": True},
        {"ids": ["dns/zone example.com"], "call": "zone", "arguments": {}, "quiet": True, "check": True},
        {"ids": ["vpn/engines"], "call": "engines", "arguments": {}, "check": True},
    ]


def test_what_is_as_described_is_left_out():
    looked = {"answers": {"gateway/host": answer(), "gateway/switch": answer(), "vma/hn": answer(True)}}
    assert differences(looked, ["gateway", "vma"]) == {"vma": ["Not as described: hn."]}


def test_what_differs_is_told_in_the_words_of_who_found_it():
    told = answer(True, differences=["There is no /etc/one.", "The unit two is not enabled."])
    looked = {"answers": {"dns/host": told, "dns/zone a/b": answer(True)}}
    assert differences(looked, ["dns"]) == {"dns": ["There is no /etc/one.", "The unit two is not enabled.", "Not as described: zone a/b."]}


def test_what_fails_differs_and_what_fails_because_of_it_is_not_told():
    failed = answer(failed=True, msg="There is no library.")
    assert differences({"answers": {"dns/host": answer(), "dns/records": failed}}, ["dns"]) == {"dns": ["There is no library."]}
    assert differences({"answers": {"dns/host": answer(True), "dns/records": failed}}, ["dns"]) == {"dns": ["Not as described: host."]}
    looked = {"answers": {"dns/records": failed, "dns/zone": answer(failed=True, msg="No answer."), "dns/key": answer(True)}}
    assert differences(looked, ["dns"], {"dns": ["It stands alone."]}) == {"dns": ["There is no library.", "Not as described: key.", "It stands alone."]}


def test_a_host_that_did_not_answer_differs():
    assert differences({"msg": "It is gone."}, ["rm"]) == {"rm": ["It is gone."]}
    assert differences({"answers": {}}, ["rm"]) == {"rm": ["The host was not asked."]}
    assert differences({"answers": {"vma/hn": answer()}}, ["vma", "rm"]) == {"rm": ["The host was not asked."]}


def test_a_call_of_which_nobody_knows_what_became_counts_as_different():
    ended = {**answer(failed=True, msg="The engines ended without an answer."), "changed": None}
    assert differences({"answers": {"rm/host": ended}}, ["rm"]) == {"rm": ["The engines ended without an answer."]}


def test_what_differs_between_hosts_counts_too():
    looked = {"answers": {"rm/host": answer(), "vma/hn": answer()}}
    assert differences(looked, ["rm", "vma"], {"rm": ["Its VMA knows it differently."], "gone": []}) == {"rm": ["Its VMA knows it differently."]}


@pytest.mark.parametrize(
    "found, lines",
    [
        ({"a": {}, "b": {}}, ["2 of 2 hosts are as they should be."]),
        ({"a": {}, "b": {"rm": ["One.", "Two."], "vma": ["Three.", "One."]}}, ["b: One. Two. Three.", "1 of 2 hosts are as they should be."]),
        ({}, ["0 of 0 hosts are as they should be."]),
    ],
)
def test_hosts_are_counted(found, lines):
    hostvars = {host: {"site_differs": differs} for host, differs in {**found, "elsewhere": {"rm": ["One."]}}.items()}
    assert summary(hostvars, list(found)) == lines


def test_what_no_role_mends_is_told_once():
    both, one = answer(warnings=["Docker drops.", "It is small."]), answer(warnings=["It is small."])
    looked = {"answers": {"gateway/ways": both, "vpn/ways": one, "vma/hn": answer()}}
    hostvars = {"gw-east": {"site_look": looked}, "rm-1": {"site_look": {"msg": "It is gone."}}, "rm-2": {}, "rm-3": {"site_look": {"skipped": True}}}
    assert warnings(hostvars, ["gw-east", "rm-1", "rm-2", "rm-3"]) == ["gw-east: Docker drops.", "gw-east: It is small."]
