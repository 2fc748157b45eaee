# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""TSIG keys, kept in files of the form that name servers and their tools read: C(key "NAME" { algorithm ...; secret "..."; };)."""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import write_atomic
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.done import Done

#: Bytes of secret that each algorithm gets: as many as its digest has (RFC 8945 section 5.2.1).
ALGORITHMS = {"hmac-sha256": 32, "hmac-sha384": 48, "hmac-sha512": 64}
_SHAPE = re.compile(r'\s*key\s+"?([^\s"{};]+)"?\s*\{\s*algorithm\s+"?([^\s"{};]+)"?\s*;\s*secret\s+"?([A-Za-z0-9+/=]+)"?\s*;\s*\}\s*;\s*')


class Key:
    """A TSIG key. Nothing that prints it shows its secret."""

    def __init__(self, name: str, algorithm: str, secret: str) -> None:
        self.name = shapes.name(name)
        self.algorithm = algorithm.lower().rstrip(".")
        if self.algorithm not in ALGORITHMS:
            raise InvalidInput(f"The key {self.name} is of {algorithm}; only {', '.join(ALGORITHMS)} are strong enough.")
        try:
            size = len(base64.b64decode(secret, validate=True))
        except (binascii.Error, ValueError) as exc:
            raise InvalidInput(f"The secret of the key {self.name} is not in base64.") from exc
        if size < 16:
            raise InvalidInput(f"The secret of the key {self.name} has {size} bytes; fewer than 16 can be guessed.")
        self.secret = secret

    def __repr__(self) -> str:
        return f"Key({self.name!r}, {self.algorithm!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and (self.name, self.algorithm, self.secret) == (other.name, other.algorithm, other.secret)

    __hash__ = None


def read(path: str) -> Key:
    """Return the key in the file *path*.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it does not hold exactly one key of a strong algorithm.
    """
    try:
        with open(path, encoding="utf-8") as handle:
            text = re.sub(r"(?m)^\s*(?://|#).*$", "", handle.read())
    except FileNotFoundError as exc:
        raise NotFound(f"There is no key file {path} on this host.") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"The key file {path} cannot be read.") from exc
    match = _SHAPE.fullmatch(text)
    if not match:
        raise InvalidInput(f'The file {path} does not hold one key of the form: key "NAME" {{ algorithm hmac-sha256; secret "..."; }};')
    return Key(*match.groups())


def present(path: str, name: str, algorithm: str = "hmac-sha256", secret: str | None = None, check: bool = False) -> Done:
    """Make sure that the file *path* holds the key, readable by its owner only.

    Args:
        path: the file; its directory must exist.
        name: the key's name, which server and client must agree upon.
        algorithm: one of ALGORITHMS.
        secret: the secret in base64; None keeps the one that is there, and makes a random one where there is none.
        check: whether only to say what would be done.
    """
    found = read(path) if os.path.exists(path) else None
    mode = os.stat(path).st_mode & 0o777 if found else None
    if secret is None:
        fits = found and (found.name, found.algorithm) == (shapes.name(name), algorithm)
        secret = found.secret if fits else base64.b64encode(secrets.token_bytes(ALGORITHMS.get(algorithm, 32))).decode()
    wanted = Key(name, algorithm, secret)
    changed = found != wanted or mode != 0o600
    if changed and not check:
        if not os.path.isdir(os.path.dirname(path)):
            raise NotFound(f"There is no directory {os.path.dirname(path)} for the key {wanted.name} on this host.")
        write_atomic(path, f'key "{wanted.name}" {{\n\talgorithm {wanted.algorithm};\n\tsecret "{wanted.secret}";\n}};\n', 0o600)
    before = {"name": found.name, "algorithm": found.algorithm, "mode": f"{mode:04o}"} if found else None
    after = {"name": wanted.name, "algorithm": wanted.algorithm, "mode": "0600"}
    if found and found != wanted:
        before["secret"], after["secret"] = "another one", "the one that is wanted"
    return Done(changed, before, after, {"key": {"name": wanted.name, "algorithm": wanted.algorithm, "path": path}})


def absent(path: str, check: bool = False) -> Done:
    """Make sure that there is no file *path*."""
    there = os.path.exists(path)
    if there and not check:
        os.unlink(path)
    return Done(there, {"path": path} if there else None, None, {"key": None})
