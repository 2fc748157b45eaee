# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Pre-shared keys: what an owner's VPN gateway of others may have in the place of certificates. No error shows any of one."""

from __future__ import annotations

import base64
import binascii
import re

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

#: How many bytes of a random key, and how many characters of one in words, there have to be.
SHORTEST_RANDOM, SHORTEST_WORDS = 16, 20
#: More is nobody's key: strongSwan, and what we know of others, take no more.
LONGEST = 512
#: A key of fewer different bytes was not drawn.
_VARIETY = 8


def checked(whose: str, text: object) -> bytes:
    """Return the bytes of a pre-shared key that is written as in swanctl.conf: C(0x) and hexadecimal, C(0s) and base64, or plain text.

    Raises:
        InvalidInput: it is none, or can be guessed.
    """
    if not isinstance(text, str) or not text:
        raise InvalidInput(f"The pre-shared key of {whose} is empty, or no text.")
    if text != text.strip():
        raise InvalidInput(f"The pre-shared key of {whose} begins or ends with white space, such as the line break of a file that it was read from.")
    if not re.fullmatch(r"[ -~]+", text):
        raise InvalidInput(f"The pre-shared key of {whose} has other characters than ASCII's printable ones; write such a key as 0x and hexadecimal digits.")
    secret, random = _decoded(whose, text)
    if len(secret) > LONGEST:
        raise InvalidInput(f"The pre-shared key of {whose} is too long: it may have {LONGEST} bytes.")
    if len(secret) < (SHORTEST_RANDOM if random else SHORTEST_WORDS) or len(set(secret)) < _VARIETY:
        raise InvalidInput(
            f"The pre-shared key of {whose} is too easy to guess: it must have at least {SHORTEST_WORDS} characters, or {SHORTEST_RANDOM} bytes as 0x... or "
            f"0s..., {_VARIETY} different ones among them, for whoever takes the place of one end once can try out guesses at leisure (RFC 7296 section 2.15)."
        )
    return secret


def _decoded(whose: str, text: str) -> tuple[bytes, bool]:
    """Return the bytes, and whether they are written in a way that words are not."""
    try:
        if text.startswith("0x"):
            return bytes.fromhex(text[2:]), True
        if text.startswith("0s"):
            return base64.b64decode(text[2:], validate=True), True
    except (ValueError, binascii.Error) as exc:
        raise InvalidInput(f"The pre-shared key of {whose} begins with {text[:2]}, but is not {'hexadecimal' if text[1] == 'x' else 'base64'}.") from exc
    return text.encode(), False
