# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The one family of errors that engines raise; a module's edge turns them into fail_json."""

from __future__ import annotations


class MeshError(Exception):
    """Something an operator must know, said in one sentence.

    Args:
        message: one clear sentence that names the thing and what is wrong with it.
        result: what was known or done when it went wrong; becomes part of the module's result.
    """

    def __init__(self, message: str, result: dict | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.result = result or {}


class InvalidInput(MeshError):
    """What was asked for is invalid; nothing was touched."""


class NotFound(MeshError):
    """What was named does not exist here; nothing was touched."""


class Refused(MeshError):
    """The request is well formed, but granting it would break a promise (room, epoch, address, integrity)."""


class CommandFailed(MeshError):
    """A program that we called failed; the message carries its own last words."""


class DeadlineExceeded(MeshError):
    """A wait reached its deadline before its condition came true."""
