# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rendering steering into Lua: complete, split harmlessly, and with no way in for what users write."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import lua, policy

SITES = [{"hn": "hn-east", "addresses": ["192.0.2.1"]}, {"hn": "hn-west", "addresses": ["192.0.2.2", "2001:db8::2"]}]


def document(**more):
    return policy.document(**{"name": "shop.steer.test", "zone": "steer.test", "sites": SITES, "order": ["hn-east"], **more})


def literals(text):
    return re.findall(r"'([^']*)'", text)


def test_every_row_and_address_is_there():
    regions = [{"name": "a", "prefixes": ["10.0.0.0/8", "10.1.0.0/16"], "order": ["hn-west"]}]
    text = lua.script(document(regions=regions, check={"type": "tcp", "port": 443}), 4)
    assert text.startswith(";")
    assert "ifportup(443, {'192.0.2.1', '192.0.2.2'}" in text
    assert "{{'10.1.0.0/16'}, {'1'}}, {{'10.0.0.0/8'}, {'1'}}, {{'0.0.0.0/0', '::/0'}, {'2'}}" in text
    assert "orders={{2, 1}, {1, 2}}" in text
    assert "ifurlup('http://shop.steer.test:80/up'" in lua.script(document(check={"type": "http", "port": 80, "path": "/up"}), 6)
    assert lua.script(document(sites=SITES[:1]), 6) is None and lua.rdata(document(sites=SITES[:1]), 6) is None


def test_prefixes_of_one_length_and_order_stand_together():
    regions = [
        {"name": "a", "prefixes": ["10.1.0.0/16", "10.9.0.0/16", "10.0.0.0/8"], "order": ["hn-west"]},
        {"name": "b", "prefixes": ["10.2.0.0/16", "0.0.0.0/0"], "order": ["hn-east"]},
        {"name": "c", "prefixes": ["10.3.0.0/16"], "order": ["hn-west", "hn-east"]},
    ]
    text = lua.script(document(regions=regions, order=["hn-west"]), 4)
    rows = re.search(r"view\(\{(.*?)\}\)\)", text).group(1)
    assert rows == (
        "{{'10.1.0.0/16', '10.3.0.0/16', '10.9.0.0/16'}, {'1'}}, {{'10.2.0.0/16'}, {'2'}}, "
        "{{'10.0.0.0/8'}, {'1'}}, {{'0.0.0.0/0'}, {'2'}}, {{'0.0.0.0/0', '::/0'}, {'1'}}"
    )


def test_long_tables_are_split_where_it_does_no_harm():
    regions = [{"name": f"r{number}", "prefixes": [f"10.{number}.0.0/16"], "order": ["hn-west"]} for number in range(200)]
    text = lua.script(document(regions=regions), 4)
    parts = lua.parts(text)
    assert len(parts) > 10 and max(map(len, parts)) <= 255
    assert "".join(parts) == text
    joined = " ".join(parts)
    assert literals(joined) == literals(text), "no space comes into a string"
    assert re.sub(r"\s+", "", joined) == re.sub(r"\s+", "", text)
    assert not re.search(r"[A-Za-z0-9]$", "".join(part[-1] for part in parts[:-1])), "no word is cut"


def test_a_table_that_no_record_holds_is_refused():
    prefixes = [f"10.{high}.{low}.0/24" for high in range(20) for low in range(200)]
    with pytest.raises(InvalidInput, match="too long for one record"):
        lua.rdata(document(regions=[{"name": "a", "prefixes": prefixes, "order": []}]), 4)


#: The only words, besides the literals, that a script can have in it.
WORDS = set(re.findall(r"[a-zA-Z_]+", lua._SCRIPT)) | {"ifurlup", "ifportup", "selector", "backupSelector"}
NASTY = st.text(alphabet=st.sampled_from("abz09.-/:'\"\\]]-- \n,;(){}%$_"), max_size=30)


@given(NASTY, NASTY, NASTY, NASTY, NASTY)
def test_what_users_write_is_refused_or_stays_a_literal(address, prefix, path, host, hn):
    try:
        wanted = document(
            sites=[{"hn": hn or "hn-east", "addresses": [address or "192.0.2.1"]}],
            regions=[{"name": "a", "prefixes": [prefix or "10.0.0.0/8"], "order": []}],
            check={"type": "http", "port": 80, "path": "/" + path, "host": host or "shop.test"},
        )
    except InvalidInput:
        return
    text = lua.script(wanted, 4) or ";"
    assert "\\" not in text and '"' not in text and "\n" not in text and text.count("'") % 2 == 0
    code = re.sub(r"'[^']*'", "", text)
    assert set(re.findall(r"[a-zA-Z_]+", code)) <= WORDS
    assert "--" not in code and "[[" not in code


@pytest.mark.parametrize("value", ["", "a'b", "a b", "a,b", 'a"b', "a\\b", "a\n", "é"])
def test_the_last_gate_before_lua(value):
    with pytest.raises(InvalidInput, match="cannot stand in a steering record"):
        lua._string(value)
