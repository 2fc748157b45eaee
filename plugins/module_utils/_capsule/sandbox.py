# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""Running a program on what came from a stranger: without rights, without a network, and with nothing in reach but the files that it works on.

The program has a file system of its own, made of itself, its libraries, C(/in) (read only) and C(/out); process numbers and a network of its own, without
any interface; limits on memory, processor time, and the size of what it writes. Needs root, and of programs only those of util-linux and coreutils.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded

#: nobody and nogroup, by number: of Debian's base-passwd, which gives them to no files.
UNPRIVILEGED = 65534
#: Bytes of memory: converting takes 300 to 400 MB and more, most of it stacks of up to 64 threads that are never touched.
MEMORY = 2 << 30
#: Bytes that are kept of what it says; whoever says more is stopped.
LONGEST = 1 << 16
#: Bytes that it may write, if nothing else is said.
_LITTLE = 16 << 20

#: Exit status of the script, and of chroot, when the program was not begun; and the programs of which the same is said in words.
_NO_SANDBOX = 125
_MAKERS = ("unshare: ", "prlimit: ", "setpriv: ", "chroot: ")

#: The arguments are the new root, in, out, the limits, and the program with its own.
_SCRIPT = """
# Whatever fails before the program begins is not its fault.
trap 'exit 125' EXIT
root=$1 given=$2 made=$3 memory=$4 cpu=$5 largest=$6
shift 6
mount -t tmpfs -o size=1m,mode=0755,nosuid tmpfs "$root"
mkdir -p "$root/usr/bin" "$root/dev" "$root/in" "$root/out"
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
for directory in /usr/lib /usr/lib64; do
    if [ -d "$directory" ]; then
        mkdir "$root$directory"
        mount --bind "$directory" "$root$directory"
        mount -o remount,bind,ro,nosuid,nodev "$root$directory"
    fi
done
for file in "$1" /dev/null; do
    : > "$root$file"
    mount --bind "$file" "$root$file"
done
mount --bind "$given" "$root/in"
mount -o remount,bind,ro,nosuid,nodev,noexec "$root/in"
mount --bind "$made" "$root/out"
mount -o remount,bind,nosuid,nodev,noexec "$root/out"
cd /
trap - EXIT
# Not the last command, so that this shell stays: the signal by which it ends with its parent would be lost with its rights.
prlimit --as="$memory" --cpu="$cpu" --fsize="$largest" --core=0 --nofile=256 setpriv --no-new-privs \
    chroot --userspec="$USER_ID:$USER_ID" --groups= "$root" "$@" || exit $?
exit 0
"""


class Room(t.NamedTuple):
    """Directories for what goes in and comes out, as C(workroom) makes them.

    Attributes:
        inside: holds the files to work on, readable by all; nobody can get to it but root.
        outside: where the program may write.
        aside: for what it is not to see.
    """

    inside: str
    outside: str
    aside: str


class Done(t.NamedTuple):
    """How a program ended: its exit status (128 and more: the number of a signal), and the first of its words."""

    status: int
    words: str


def run(room: Room, argv: list[str], timeout: float, largest: int = _LITTLE) -> Done:
    """Run *argv*, whose files are in C(/in) and C(/out), and return how it ended.

    Args:
        room: its files.
        argv: the absolute path of a program, and its arguments.
        timeout: seconds until it is killed, and of processor time.
        largest: bytes that a file of its may have.

    Raises:
        CommandFailed: it is not installed, or this host lets nobody make a sandbox.
        DeadlineExceeded: it ran longer than *timeout*.
    """
    if not os.path.exists(argv[0]):
        raise CommandFailed(f"The program {argv[0]} is not installed on this host.")
    apart = ["unshare", "--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child"]
    with tempfile.TemporaryDirectory(prefix="vmatrix-root-") as root:
        limits = [str(number) for number in (MEMORY, int(timeout) + 1, largest)]
        # Whoever kills us stops it, too.
        words = ["setpriv", "--pdeathsig", "KILL", *apart, "sh", "-ec", _SCRIPT, "sandbox", root, room.inside, room.outside, *limits, *argv]
        # Without the last one each thread may reserve 64 MiB of addresses, which count as memory: on hosts with many CPUs that is more than the limit.
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "USER_ID": str(UNPRIVILEGED), "MALLOC_ARENA_MAX": "2"}
        try:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        except FileNotFoundError as exc:
            raise CommandFailed(f"The program {words[0]} is not installed on this host.") from exc
        said, late = _watched(process, timeout)
    if late:
        raise DeadlineExceeded(f"{os.path.basename(argv[0])} did not finish within {timeout:g} s.")
    done = Done(process.returncode, said.decode(errors="replace").strip())
    if done.status == _NO_SANDBOX or done.status != 0 and done.words.startswith(_MAKERS):
        raise CommandFailed(f"The sandbox for {os.path.basename(argv[0])} cannot be made on this host: {' '.join(done.words.split())[:300].rstrip('.')}.")
    return done


def _watched(process: subprocess.Popen[bytes], timeout: float) -> tuple[bytes, bool]:
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    watch = threading.Timer(timeout, stop)
    watch.start()
    try:
        with t.cast(t.BinaryIO, process.stdout) as pipe:
            said = pipe.read(LONGEST)
        # Who has not been heard to the end has lost its pipe by now.
        process.wait()
    finally:
        watch.cancel()
        process.kill()
        process.wait()
    return said, late.is_set()
