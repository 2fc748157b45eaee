# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Parcels: the files of one move (memory image, disk overlays), whose digests are known only once they were sent.

A parcel is a directory named INSTANCE@EPOCH. It is decided once, under a lock, by the first of: a commit from the sender (C(commit.json)), an abort from the
sender, or the receiver's own end of patience (C(abort.json)). So both ends agree on who runs the instance, also when the connection is lost at the worst time.
An abort is forgotten once the other side was told, so that the same parcel can be tried again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import paths
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.blobs import remove
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import files
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for

_POLL = 0.02
#: Seconds after which nobody comes any more for what arrived and was not committed.
_LIFE = 86400.0
#: Seconds after which an abort of the sender is about an earlier attempt than the one that the receiver begins to wait for.
_STALE = 30.0
#: Says in the directory of a parcel that it is not waited for any more.
_STOPPED = "stopped.json"


class Parcel(t.NamedTuple):
    """A parcel that arrived whole.

    Attributes:
        path: its directory.
        files: name to path of each file; take one over by renaming it, and give it owner and mode of your own.
        note: what the sender said about it.
    """

    path: str
    files: dict[str, str]
    note: dict[str, t.Any]


def await_parcel(parcel: str, timeout: float, incoming: str = paths.INCOMING, meanwhile: t.Callable[[], t.Any] = lambda: None) -> Parcel:
    """Wait until the parcel C(INSTANCE@EPOCH) is committed, and return it; *meanwhile* is called again and again until then.

    Raises:
        Refused: it was aborted; the message is the sender's reason. Or somebody took it before.
        DeadlineExceeded: it was not committed within *timeout* seconds, or before somebody called stop_waiting(). It never will be: a later commit is refused.
    """
    path = _prepared(parcel, incoming)
    stopped = os.path.join(path, _STOPPED)
    with _lock(incoming):
        _forget_stale_abort(path)
        remove(stopped)
    try:
        wait_for(lambda: (meanwhile(), _decision(path) or os.path.exists(stopped))[1], timeout, f"parcel {parcel} arrives", first=_POLL, longest=_POLL)
    except DeadlineExceeded as exc:
        with _lock(incoming):
            if _decision(path) is None:
                _abort(path, f"The receiving RM gave up waiting for parcel {parcel} after {timeout:g} s.", "receiver")
                raise exc
    with _lock(incoming):
        if _decision(path) is None:
            why = f"The wait for parcel {parcel} was called off, for who sends it has failed."
            _abort(path, why, "receiver")
            raise DeadlineExceeded(why)
        commit = _decided(path, "receiver")
    if commit["taken"]:
        raise Refused(f"Parcel {parcel} was taken before.")
    if commit["files"] and commit.get("boot") != files.boot():
        raise Refused(f"Parcel {parcel} was committed before this RM failed, so it may not be whole any more; the RM that sent it has everything.")
    return Parcel(path, {name: os.path.join(path, name) for name in commit["files"]}, commit["note"])


def discard_parcel(parcel: str, incoming: str = paths.INCOMING) -> None:
    """Remove what is left of a parcel; of a committed one remember that it was, so that it can be neither aborted nor sent again.

    Removes what is remembered of parcels of older epochs of the same instance, too, and what arrived for others that nobody came for.
    """
    path = _prepared(parcel, incoming)
    instance, epoch = paths.split_parcel(parcel)
    with _lock(incoming):
        _sweep(incoming)
        for entry in os.listdir(paths.parcels(incoming)):
            name, _at, other = entry.partition("@")
            if name == instance and int(other) < epoch:
                shutil.rmtree(os.path.join(paths.parcels(incoming), entry))
        commit = _read(path, "commit.json")
        if commit is None:
            shutil.rmtree(path)
            return
        _write(path, "commit.json", {**commit, "note": {}, "taken": True})
        _empty(path, keep="commit.json")


def stop_waiting(parcel: str, incoming: str = paths.INCOMING) -> None:
    """Have whoever awaits the parcel give up as if its time had passed: it is known that the sender has failed. Where nobody does, nothing stays of this."""
    path = paths.parcel(incoming, parcel)
    if os.path.isdir(path):
        with _lock(incoming):
            if os.path.isdir(path) and _decision(path) is None:
                _write(path, _STOPPED, {})


# What the receiver does for a sender


def prepare_file(parcel: str, name: str, size: int, token: str, incoming: str) -> tuple[str, bool]:
    """Return where a file of the parcel is to be written to, and whether it is there whole and verified already.

    Args:
        parcel: its name.
        name: the file's name.
        size: its bytes.
        token: what tells the sender's file from any other content; what arrived of a file with another token is dropped.
        incoming: where things arrive.

    Raises:
        Refused: the parcel was decided before.
    """
    paths.parcel_file(name)
    path = _prepared(parcel, incoming)
    with _lock(incoming):
        state = _state(path)
        # Of what arrived before this RM failed, nobody knows how much reached the disk.
        whole = {"size": size, "token": token, "boot": files.boot()}
        known = state.get(name, {})
        if known.get("sha256") and {**known, **whole} == known:
            return os.path.join(path, name), True
        if _decided(path, "sender") is not None:
            raise Refused(f"Parcel {parcel} was committed before; nothing can be added to it.")
        if {**known, **whole} != known:
            remove(os.path.join(path, name))
            remove(os.path.join(path, f"{name}.partial"))
            _write(path, "state.json", {**state, name: whole})
    return os.path.join(path, f"{name}.partial"), False


def finish_file(parcel: str, name: str, sha256: str, incoming: str) -> None:
    """Note that a file of the parcel arrived and was verified to have the digest *sha256*."""
    path = paths.parcel(incoming, parcel)
    with _lock(incoming):
        _decided(path, "sender")
        state = _state(path)
        os.replace(os.path.join(path, f"{name}.partial"), os.path.join(path, name))
        _write(path, "state.json", {**state, name: {**state[name], "sha256": sha256}})


def commit_parcel(parcel: str, note: dict[str, t.Any], digests: dict[str, str], incoming: str) -> None:
    """Decide that the parcel arrived; doing so again with the same *digests* (name to SHA-256) changes nothing.

    Raises:
        Refused: it was decided otherwise before, or a file is missing or has another digest.
    """
    path = _prepared(parcel, incoming)
    with _lock(incoming):
        decided = _decided(path, "sender")
        if decided is not None:
            if decided["files"] != digests:
                raise Refused(f"Parcel {parcel} was committed before with other files.")
            return
        arrived = {name: known.get("sha256") for name, known in _state(path).items()}
        if arrived != digests:
            raise Refused(f"Parcel {parcel} cannot be committed: it holds {sorted(arrived)} instead of just {sorted(digests)}, each whole.")
        _write(path, "commit.json", {"files": digests, "note": note, "taken": False, "boot": files.boot()})


def abort_parcel(parcel: str, reason: str, incoming: str) -> None:
    """Decide that the parcel will not arrive, and drop what arrived; raise Refused if it was committed before."""
    path = _prepared(parcel, incoming)
    with _lock(incoming):
        if _read(path, "commit.json") is not None:
            raise Refused(f"Parcel {parcel} was committed before; it cannot be aborted.")
        if _read(path, "abort.json") is None:
            _abort(path, reason, "sender")


# Inside


def _prepared(parcel: str, incoming: str) -> str:
    path = paths.parcel(incoming, parcel)
    for directory in (paths.parcels(incoming), path):
        try:
            os.mkdir(directory, 0o700)
            paths.give_away(directory, incoming)
        except FileExistsError:
            pass
        except FileNotFoundError as exc:
            raise Refused(f"This RM is not set up to receive anything: there is no directory {incoming}.") from exc
    return path


def _lock(incoming: str) -> t.ContextManager[None]:
    path = os.path.join(incoming, ".lock")
    with open(path, "a", encoding="utf-8"):
        paths.give_away(path, incoming)
    return files.lock(path, "the parcels that arrive")


def _state(path: str) -> dict[str, t.Any]:
    return _read(path, "state.json") or {}


def _decision(path: str) -> str | None:
    decisions = [name for name in ("commit.json", "abort.json") if _read(path, name) is not None]
    return decisions[0] if decisions else None


def _decided(path: str, asking: str) -> dict[str, t.Any] | None:
    """Return the commit, None while nothing is decided, and raise an abort; *asking* is the side that is told, C(sender) or C(receiver)."""
    abort = _read(path, "abort.json")
    if abort is None:
        return _read(path, "commit.json")
    if abort["by"] != asking:
        remove(os.path.join(path, "abort.json"))
    raise Refused(abort["reason"])


def _forget_stale_abort(path: str) -> None:
    name = os.path.join(path, "abort.json")
    abort = _read(path, "abort.json")
    if abort is not None and (abort["by"] == "receiver" or os.stat(name).st_mtime < time.time() - _STALE):
        remove(name)


def _sweep(incoming: str) -> None:
    """Remove parcels to which nothing has been added for a day. What was committed may be all that there is of an instance, so that stays."""
    for path in (os.path.join(paths.parcels(incoming), entry) for entry in os.listdir(paths.parcels(incoming))):
        latest = max(os.lstat(each).st_mtime for each in (path, *(os.path.join(path, entry) for entry in os.listdir(path))))
        if _read(path, "commit.json") is None and latest < time.time() - _LIFE:
            shutil.rmtree(path)


def _abort(path: str, reason: str, by: str) -> None:
    _write(path, "abort.json", {"reason": reason, "by": by})
    _empty(path, keep="abort.json")


def _read(path: str, name: str) -> t.Any:
    """Return what _write() wrote; None also where a power cut has left a name with nothing, or half of it, behind."""
    try:
        return files.read_json(os.path.join(path, name))
    except ValueError:
        return None


def _write(path: str, name: str, value: t.Any) -> None:
    # Not flushed to the disk, for the instance stands still meanwhile. The source holds everything until the call that takes it over has returned, which
    # flushes what it took. If this RM fails before that, a commit may be forgotten, or remembered although its files are not whole; so it counts only in
    # the boot in which it was written. The source says that it has handed the instance over then, and nothing comes to life here from the parcel: this RM
    # is cleared, and the source goes on in a newer epoch.
    new = os.path.join(path, f".new-{name}")
    with open(new, "w", encoding="utf-8") as handle:
        json.dump(value, handle)
    paths.give_away(new, path)
    os.replace(new, os.path.join(path, name))


def _empty(path: str, keep: str) -> None:
    for entry in os.listdir(path):
        if entry != keep:
            remove(os.path.join(path, entry))
