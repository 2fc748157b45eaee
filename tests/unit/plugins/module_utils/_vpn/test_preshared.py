# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pre-shared keys: written as in swanctl.conf, and none that can be guessed."""

from __future__ import annotations

import base64

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import preshared

SHOP = "shop.example.com"
DRAWN = bytes(range(100, 116))


@pytest.mark.parametrize(
    "text, secret",
    [
        ("a key of twenty chars", b"a key of twenty chars"),
        (f"0x{DRAWN.hex()}", DRAWN),
        (f"0x{DRAWN.hex().upper()}", DRAWN),
        (f"0s{base64.b64encode(DRAWN).decode()}", DRAWN),
    ],
)
def test_it_is_what_swanctl_would_take_it_for(text, secret):
    assert preshared.checked(SHOP, text) == secret


@pytest.mark.parametrize(
    "text, words",
    [
        (None, "is empty, or no text"),
        ("", "is empty, or no text"),
        ("a key of twenty chars\n", "ends with white space, such as the line break of a file"),
        ("a key of twenty\x00chars!", "printable"),
        ("ein Schlüssel mit Umlaut", "printable"),
        ("a key of 19 chars..", r"too easy to guess: it must have at least 20 characters, or 16 bytes .* guesses at leisure \(RFC 7296 section 2.15\)"),
        ("abcabcabcabcabcabcabcabcabc", "too easy to guess"),
        (f"0x{DRAWN[:15].hex()}", "too easy to guess"),
        (f"0x{bytes(32).hex()}", "too easy to guess"),
        ("0xyz", "begins with 0x, but is not hexadecimal"),
        ("0s!", "begins with 0s, but is not base64"),
        (f"0x{bytes(range(256)).hex()}{bytes(range(256)).hex()}00", "too long"),
    ],
)
def test_what_is_none_gets_one_sentence_that_does_not_show_it(text, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        preshared.checked(SHOP, text)
    assert caught.value.message.startswith(f"The pre-shared key of {SHOP} ") and "\n" not in caught.value.message
    assert not text or text not in caught.value.message
