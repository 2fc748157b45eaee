# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""What qemu-img does with images from strangers, always in a sandbox and told what it has to expect."""

from __future__ import annotations

import os
import signal

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import contents, image, qcow2, sandbox
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, Refused

_QEMU_IMG = "/usr/bin/qemu-img"
#: What a room's image is called, whatever its name was.
IMAGE = "disk"
#: Exit statuses of a program that a signal ended: its file became too large, or it had no memory left.
_TOO_LARGE, _ABORTED = 128 + signal.SIGXFSZ, 128 + signal.SIGABRT
#: qemu-img check: leaked clusters do no harm.
_WHOLE = (0, 3)


def convert(room: sandbox.Room, driver: str, named: str, most: int) -> None:
    """Turn the image of a room into a qcow2 image.

    Args:
        room: where it lies, with the files that it needs.
        driver: the format by QEMU's name for it.
        named: the image in messages.
        most: bytes that there are for the result.

    Raises:
        Refused: it cannot be read, or there is no room for the result.
    """
    argv = [_QEMU_IMG, "convert", "-f", driver, "-O", "qcow2", f"/in/{IMAGE}", f"/out/{IMAGE}"]
    done = sandbox.run(room, argv, _patience(room), largest=most)
    if done.status != 0:
        image.refuse_full("File too large" if done.status == _TOO_LARGE else done.words, named, room.outside, most)
    if done.status == _ABORTED and "memory" in done.words:
        raise Refused(f"{named} cannot be converted: that takes more than {sandbox.MEMORY >> 20} MiB of memory, as no image of a vendor's own tools does.")
    if done.status != 0:
        raise Refused(f"{named} cannot be read as an image of format {driver}: {_words(done, named)}; it may be cut off or damaged.")
    for name in os.listdir(room.inside):
        os.unlink(os.path.join(room.inside, name))
    # What was written there is not believed: it is looked at as if it had come from elsewhere.
    made = os.path.join(room.outside, IMAGE)
    if not os.path.isfile(made) or os.path.islink(made):
        raise CommandFailed(f"qemu-img did not write an image of {named}.")
    os.chown(made, 0, 0)
    os.chmod(made, 0o444)
    os.replace(made, os.path.join(room.inside, IMAGE))


def check(room: sandbox.Room, named: str) -> qcow2.Header:
    """Return the header of a room's qcow2 image; raise Refused unless that stands alone and is consistent."""
    header = qcow2.read(os.path.join(room.inside, IMAGE), named)
    done = sandbox.run(room, [_QEMU_IMG, "check", "-q", "-f", "qcow2", f"/in/{IMAGE}"], _patience(room))
    if done.status in _WHOLE:
        return header
    if "exceeding the end of the file" in done.words or "is outside image" in done.words:
        size = os.path.getsize(os.path.join(room.inside, IMAGE))
        raise Refused(
            f"{named} is a qcow2 image that is cut off: it refers to data behind its end at byte {size}; a copy or a download may not have ended: get it again."
        )
    raise Refused(f"{named} is a damaged qcow2 image: qemu-img check says {_words(done, named)}; mend it (qemu-img check -r all), and look at what is left.")


def head(room: sandbox.Room, named: str) -> bytes:
    """Return the first bytes of the disk in a room's qcow2 image, as many as C(contents.look) takes."""
    argv = [_QEMU_IMG, "dd", "-f", "qcow2", "-O", "raw", f"bs={contents.HEAD}", "count=1", f"if=/in/{IMAGE}", "of=/out/head"]
    done = sandbox.run(room, argv, _patience(room))
    found = os.path.join(room.outside, "head")
    if done.status != 0 or not os.path.isfile(found) or os.path.islink(found):
        raise Refused(f"{named} is a damaged qcow2 image: {_words(done, named)}.")
    with open(found, "rb") as handle:
        content = handle.read(contents.HEAD)
    os.unlink(found)
    return content


def same_content(room: sandbox.Room, other: str) -> bool:
    """Say whether a room's qcow2 image and the one at *other*, on the same file system, hold the same, apart from zeros at the end of the longer one."""
    os.link(other, os.path.join(room.inside, "other"))
    try:
        # Not strictly (-s): that would also compare which zeros are stored and which are left out.
        argv = [_QEMU_IMG, "compare", "-q", "-f", "qcow2", "-F", "qcow2", f"/in/{IMAGE}", "/in/other"]
        return sandbox.run(room, argv, _patience(room)).status == 0
    finally:
        os.unlink(os.path.join(room.inside, "other"))


def _patience(room: sandbox.Room) -> float:
    return sum(image.patience(os.path.join(room.inside, name)) for name in os.listdir(room.inside))


def _words(done: sandbox.Done, named: str) -> str:
    """Return the first words of a program, whole, without its own name, and with that of the image instead of one which only it knows."""
    first = next((line.strip() for line in done.words.splitlines() if line.strip()), "")
    for noise in ("qemu-img: ", f"Could not open '/in/{IMAGE}': ", "ERROR: ", "ERROR "):
        first = first.removeprefix(noise)
    return first.replace(f"/in/{IMAGE}", named).rstrip(".") or f"nothing, and ended with status {done.status}"
