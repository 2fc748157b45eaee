# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names become paths, namespaces and libvirt names: nothing else may get through."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

TRICKS = ["", "..", "../x", "a/b", "a\x00b", "a b", "A", "-a", "a-", "a\n", "$(id)", "a;b", "é", "a" * 64]


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_are_no_labels(trick):
    with pytest.raises(InvalidInput):
        names.label("service", trick)


@pytest.mark.parametrize(
    "name, near",
    [("HN_East", "hn-east"), ("hn.east.example.com", "hn-east-example-com"), ("Köln 1", "k-ln-1"), ("_", None), ("a" * 64, "a" * 63)],
)
def test_who_gives_a_name_that_is_no_label_is_told_one_that_is(name, near):
    with pytest.raises(InvalidInput) as caught:
        names.label("HN", name)
    assert caught.value.message.endswith(f"as {near!r} does." if near else "at most 63 characters).")
    assert near is None or names.label("HN", near)


@pytest.mark.parametrize("name", ["rm-east-1", "RM_East_1", "rm1.dc2.example.com", "10.0.0.11", "2001:db8::11", "_rm_", "a" * 63])
def test_an_rm_is_called_what_its_inventory_calls_it(name):
    assert names.machine(name) == name


@pytest.mark.parametrize("trick", ["", "..", "../x", "a/b", "a\x00b", "a b", "-a", "a-", ".a", "a.", "a\n", "$(id)", "a;b", "é", "a" * 64, "a'b", None])
def test_tricks_are_no_rms(trick):
    with pytest.raises(InvalidInput, match="is not a name for a real machine"):
        names.machine(trick)


@pytest.mark.parametrize("trick", TRICKS + ["com", "example..com", ".example.com", "example.com.", "example.com/..", "x" * 150 + ".com"])
def test_tricks_are_no_domains(trick):
    with pytest.raises(InvalidInput):
        names.domain(trick)


@pytest.mark.parametrize("trick", ["", ".", "..", "1..0", "../1", "1/0", "-1", "1-", "1\n", "1" * 65])
def test_tricks_are_no_versions(trick):
    with pytest.raises(InvalidInput):
        names.version(trick)


@pytest.mark.parametrize("trick", ["shop.example.com", "shop-0.example.com", "shop-1", "shop-x.example.com", "shop-1.example", "shop-1.../x", None, 7])
def test_tricks_are_no_instances(trick):
    with pytest.raises(InvalidInput, match="is not an instance: it must look like 'shop-1.example.com'"):
        names.instance(trick)


@pytest.mark.parametrize("length", [59, 61, 63])
def test_a_service_leaves_room_for_the_numbers_of_its_instances(length):
    assert names.instance_name(names.service("a" * 58), names.LAST_ORDINAL, "example.com")
    with pytest.raises(InvalidInput, match=f"has {length} characters; at most 58 leave room for the numbers of its instances"):
        names.service("a" * length)


def test_no_instance_has_a_label_or_a_name_that_is_too_long():
    assert names.instance(f"{'a' * 61}-1.example.com").service == "a" * 61
    for service, ordinal, characters in (("a" * 61, 10, 64), ("a" * 62, 1, 64), ("a" * 63, 1, 65)):
        for make in (lambda *of: names.instance(f"{of[0]}-{of[1]}.{of[2]}"), names.instance_name):
            with pytest.raises(InvalidInput, match=f"its service and ordinal have {characters} characters, and at most 63 can be a label"):
                make(service, ordinal, "example.com")
    domain = ".".join(["d" * 49] * 4)
    assert len(f"{'a' * 38}-1.{domain}") == names.LONGEST and names.instance_name("a" * 38, 1, domain)
    with pytest.raises(InvalidInput, match="it has 241 characters, and at most 240 can be"):
        names.instance_name("a" * 39, 1, domain)


@given(st.from_regex(rf"(?=.{{1,58}}\Z){names.LABEL}", fullmatch=True), st.integers(1, 9999), st.from_regex(r"[a-z]{1,20}\.[a-z]{1,10}", fullmatch=True))
def test_instance_names_come_apart_as_they_were_put_together(service, ordinal, domain):
    assert names.instance(names.instance_name(service, ordinal, domain)) == (service, ordinal, domain)


@given(st.text())
def test_what_gets_through_stays_in_its_directory(text):
    for check in (names.domain, names.version, names.sha256, lambda value: names.label("service", value)):
        try:
            accepted = check(text)
        except InvalidInput:
            continue
        assert os.path.dirname(os.path.normpath(os.path.join("/base", accepted))) == "/base"


@pytest.mark.parametrize("written", ["00:0c:29:aa:bb:cc", "00-0C-29-AA-BB-CC", "000c.29aa.bbcc", "000C29AABBCC", "00:0C:29:aa:BB:cc"])
def test_a_mac_address_is_one_in_each_of_its_forms(written):
    assert names.mac(written) == "00:0c:29:aa:bb:cc"


@pytest.mark.parametrize(
    "trick", ["", "00:0c:29:aa:bb", "00:0c:29:aa:bb:cg", "00:0c-29:aa:bb:cc", "0:00c:29:aa:bb:cc", "00:0c:29:aa:bb:cc\n", " 000c29aabbcc", None, 7]
)
def test_tricks_are_no_mac_addresses(trick):
    with pytest.raises(InvalidInput, match="is not a MAC address: it must look like '52:54:00:12:34:56'"):
        names.mac(trick)
