# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's hosts from outside: their processes, files, disks and wires.

They are containers of this machine, so nothing has to run in them for that, and they can be reached when no packet passes.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import typing as t

from mesh_lab import ROOT, until

sys.path.insert(0, str(ROOT / "roles" / "lab" / "files"))
from vmatrix_lab import cgroup, host, hosts, layer, network, places  # noqa: E402  pylint: disable=wrong-import-position

JOURNAL = "/var/lib/vmatrix/journal"
REGISTRY = "/var/lib/vmatrix/vma/registry.db"
#: Where the disks of hosts are that have one of their own.
DISKS = pathlib.Path(places.STATE) / "disks"
#: Bytes of such a disk. It is sparse.
DISK_BYTES = 6 << 30
IN_MODIFY, IN_CREATE = 0x2, 0x100


class Host:
    """A host of the lab, from outside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._leader: int | None = None

    @property
    def leader(self) -> int:
        """The process that is PID 1 inside."""
        if self._leader is None or not os.path.exists(f"/proc/{self._leader}/root/etc"):
            self._leader = host.leader(self.name)
            assert self._leader, f"{self.name} does not run"
        return self._leader

    def path(self, path: str) -> pathlib.Path:
        """Return where a file of the host is to be found here."""
        return pathlib.Path(f"/proc/{self.leader}/root{path}")

    def inside(self, *command: str, check: bool = True, timeout: float = 30) -> str:
        """Run a command in the host and return what it printed."""
        argv = ["nsenter", "--all", f"--target={self.leader}", *command]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
        assert not check or done.returncode == 0, f"{self.name}: {command}: {done.stderr or done.stdout}"
        return done.stdout

    @contextlib.contextmanager
    def frozen(self) -> t.Iterator[None]:
        """Have all that runs in the host stand still meanwhile."""
        (group,) = (each for each in map(pathlib.Path, (f"{cgroup.ROOT}/unified", cgroup.ROOT)) if (each / places.NAME / self.name).is_dir())
        freezer = group / places.NAME / self.name / "cgroup.freeze"
        freezer.write_text("1", encoding="ascii")
        try:
            until(lambda: "frozen 1" in freezer.with_name("cgroup.events").read_text(encoding="ascii"), 5, f"{self.name} stands still")
            yield
        finally:
            # Whoever lost its power meanwhile has no group any more.
            with contextlib.suppress(FileNotFoundError):
                freezer.write_text("0", encoding="ascii")

    def engines(self) -> list[int]:
        """Return the processes that carry out a call of an operation: they have the journal of its run open."""
        return [pid for pid in cgroup.processes(self.name) if any(JOURNAL in link for link in _open_files(pid))]

    def programs(self, name: str) -> dict[int, list[str]]:
        """Return the command lines of the processes of a program, by process id."""
        found = {}
        for pid in cgroup.processes(self.name):
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
                if os.path.basename(words[0]) == name:
                    found[pid] = words
        return found

    def guests(self) -> dict[str, int]:
        """Return the processes that run guests, by the instance."""
        found = {}
        for pid, words in self.programs("qemu-system-x86_64").items():
            named = next((after for word, after in zip(words, words[1:]) if word == "-name"), "")
            if named.startswith("guest="):
                found[named[len("guest=") :].partition(",")[0]] = pid
        return found

    # Its wires

    def cut(self, arriving: bool = True, leaving: bool = True) -> None:
        """Drop what arrives at the host, what leaves it, or both, on all its wires."""
        wires = ", ".join(f'"{wire}"' for wire in self._wires())
        hooks = [hook for hook, wanted in (("egress", arriving), ("ingress", leaving)) if wanted]
        chains = " ".join(f"chain {hook} {{ type filter hook {hook} devices = {{ {wires} }} priority 0; policy drop; }};" for hook in hooks)
        self._nft(f"table netdev cut-{self.name} {{ {chains} }}")

    def join(self) -> None:
        """Drop nothing any more."""
        self._nft(f"table netdev cut-{self.name}\ndelete table netdev cut-{self.name}")

    def _nft(self, script: str) -> None:
        # The program is the host's, the wires' outer ends are in the lab's network namespace.
        argv = ["nsenter", f"--mount=/proc/{self.leader}/ns/mnt", f"--net={network.PATH}", "nft", "-f", "-"]
        done = subprocess.run(argv, input=script, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr

    def _wires(self) -> list[str]:
        described = json.loads(pathlib.Path(places.of_host(self.name, "host.json")).read_text(encoding="utf-8"))
        return [host.outer(described, interface) for interface in described["interfaces"]]

    # Its power, and its disk

    @property
    def has_disk(self) -> bool:
        """Whether it has a disk of its own, which loses what was not flushed when the power fails."""
        return os.path.ismount(places.of_host(self.name))

    def power_cut(self) -> None:
        """Have it lose its power, and what it had not flushed to its disk, if that is its own."""
        image = DISKS / f"{self.name}.img"
        with self.frozen():
            if self.has_disk:
                _copy(image, image.with_suffix(".cut"))
            cgroup.kill(self.name)
        self._leader = None
        until(lambda: not host.running(self.name), 10, f"the supervisor of {self.name} ends")
        if self.has_disk:
            self.put_in(image.with_suffix(".cut"))

    def power_on(self, timeout: float = 60) -> None:
        """Start it, and wait until one can log in."""
        if not host.running(self.name):
            # The kernel takes its time for removing those of who was killed.
            until(lambda: not any(_quiet("ip", "-netns", places.NAME, "link", "show", "dev", wire) for wire in self._wires()), 20, "its wires are gone")
            # Its supervisor is found where the lab's tool is, and imports the collection.
            path = os.pathsep.join([str(ROOT / "roles" / "lab" / "files"), str(ROOT / ".build" / "collections")])
            start = f"from vmatrix_lab import host; host.start({self.name!r})"
            subprocess.run([sys.executable, "-c", start], env={**os.environ, "PYTHONPATH": path}, check=True, timeout=30)
        address = layer.address(json.loads(pathlib.Path(places.of_host(self.name, "host.json")).read_text(encoding="utf-8")))
        with concurrent.futures.ThreadPoolExecutor(1) as apart:
            # A thread stays in the network namespace that it has entered.
            apart.submit(network.enter).result()
            until(lambda: apart.submit(hosts.speaks_ssh, address).result(), timeout, f"{self.name} answers SSH")
        self.inside("systemctl", "is-system-running", "--wait", check=False, timeout=timeout)

    def put_in(self, image: pathlib.Path) -> None:
        """Let the host, which is off, have its disk replaced by *image*, which becomes its disk."""
        where = places.of_host(self.name)
        if self.has_disk:
            until(lambda: _quiet("umount", where), 20, f"the disk of {self.name} can be taken out")
        own = DISKS / f"{self.name}.img"
        if image != own:
            os.replace(image, own)
        subprocess.run(["mount", "-o", "loop,noinit_itable", str(own), where], check=True)

    def get_disk(self) -> None:
        """Give the host, which is off, a disk of its own with all that it has."""
        if self.has_disk:
            return
        DISKS.mkdir(exist_ok=True)
        image, where = DISKS / f"{self.name}.img", places.of_host(self.name)
        image.unlink(missing_ok=True)
        with image.open("wb") as handle:
            handle.truncate(DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", str(image)], check=True)
        with tempfile.TemporaryDirectory() as there:
            subprocess.run(["mount", "-o", "loop,noinit_itable", str(image), there], check=True)
            try:
                subprocess.run(["cp", "--archive", f"{where}/.", there], check=True)
            finally:
                subprocess.run(["umount", there], check=True)
        self.put_in(image)

    def give_disk_back(self) -> None:
        """Take the disk out of the host, which is off, and leave it all that was on it."""
        if not self.has_disk:
            return
        image, where = DISKS / f"{self.name}.img", places.of_host(self.name)
        until(lambda: _quiet("umount", where), 20, f"the disk of {self.name} can be taken out")
        with tempfile.TemporaryDirectory() as there:
            subprocess.run(["mount", "-o", "loop", str(image), there], check=True)
            try:
                for name in ("upper", "work"):
                    shutil.rmtree(os.path.join(where, name))
                    subprocess.run(["cp", "--archive", os.path.join(there, name), where], check=True)
            finally:
                subprocess.run(["umount", there], check=True)
        for each in (image, *(image.with_suffix(suffix) for suffix in (".kept", ".cut", ".new"))):
            each.unlink(missing_ok=True)

    def fill(self) -> None:
        """Leave nothing free on its disk."""
        filler = os.path.join(places.of_host(self.name), "filler")
        room = os.statvfs(places.of_host(self.name))
        _quiet("fallocate", "-l", str(room.f_bavail * room.f_frsize), filler)
        # What the file system took for that may have left a few blocks.
        _quiet("dd", "if=/dev/zero", f"of={filler}", "oflag=append", "conv=notrunc", "bs=4096", "count=4096")

    def empty(self) -> None:
        """Free it again."""
        pathlib.Path(places.of_host(self.name), "filler").unlink(missing_ok=True)


def _open_files(pid: int) -> list[str]:
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(entry.path))
    return found


def _quiet(*command: str) -> bool:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def _copy(image: pathlib.Path, to: pathlib.Path) -> None:
    subprocess.run(["cp", "--sparse=always", str(image), str(to)], check=True)


def with_disks(group: t.Sequence[Host]) -> None:
    """Give hosts disks of their own; they are powered off and on for that."""
    missing = [each for each in group if not each.has_disk]
    _off(missing)
    for each in missing:
        each.get_disk()
    _on(missing)


def without_disks(group: t.Sequence[Host]) -> None:
    """Take these disks away again; the hosts keep what is on them."""
    there = [each for each in group if each.has_disk]
    _off(there)
    for each in there:
        each.give_disk_back()
    _on(there)


def keep(group: t.Sequence[Host]) -> None:
    """Keep the disks of hosts as they are now, for go_back()."""
    _off(group)
    for each in group:
        _copy(DISKS / f"{each.name}.img", DISKS / f"{each.name}.kept")
    _on(group)


def kept(group: t.Sequence[Host]) -> bool:
    """Whether keep() was called for hosts, and they have their disks still."""
    return all(each.has_disk and (DISKS / f"{each.name}.kept").exists() for each in group)


def go_back(group: t.Sequence[Host]) -> None:
    """Let hosts be what they were when keep() was called."""
    for each in group:
        cgroup.kill(each.name)
        until(lambda each=each: not host.running(each.name), 10, f"the supervisor of {each.name} ends")
        _copy(DISKS / f"{each.name}.kept", DISKS / f"{each.name}.new")
        each.put_in(DISKS / f"{each.name}.new")
    _on(group)


def _off(group: t.Sequence[Host]) -> None:
    if group:
        with concurrent.futures.ThreadPoolExecutor(len(group)) as pool:
            list(pool.map(lambda each: host.stop(each.name), group))


def _on(group: t.Sequence[Host]) -> None:
    if group:
        hosts.hang_up("exit")
        with concurrent.futures.ThreadPoolExecutor(len(group)) as pool:
            list(pool.map(Host.power_on, group))


class Watch(threading.Thread):
    """Reads along what hosts write down of the calls of operations, and tells it as soon as it is on their disks.

    Args:
        group: the hosts.
        tell: gets the host and the entry, in this thread; nothing else is told before it returns.
    """

    def __init__(self, group: t.Sequence[Host], tell: t.Callable[[Host, dict[str, t.Any]], None]) -> None:
        super().__init__(daemon=True)
        self._tell, self._over = tell, threading.Event()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watched: dict[int, Host] = {}
        self._read: dict[tuple[str, str], int] = {}
        self.problem: BaseException | None = None
        for each in group:
            directory = each.path(JOURNAL)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = self._libc.inotify_add_watch(self._inotify, os.fsencode(directory), IN_MODIFY | IN_CREATE)
            assert number >= 0, f"{directory}: {os.strerror(ctypes.get_errno())}"
            self._watched[number] = each
            self._read.update({(each.name, entry.name): entry.stat().st_size for entry in os.scandir(directory)})

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_unused: t.Any) -> None:
        self._over.set()
        self.join()
        os.close(self._inotify)

    def run(self) -> None:
        """Read along until it is over."""
        try:
            while not self._over.is_set():
                if select.select([self._inotify], [], [], 0.05)[0]:
                    self._drain(os.read(self._inotify, 1 << 16))
        except BaseException as exc:  # pylint: disable=broad-exception-caught
            # Whoever waits for this thread has to hear of it.
            self.problem = exc

    def _drain(self, events: bytes) -> None:
        seen, at = [], 0
        while at < len(events):
            number, length = int.from_bytes(events[at : at + 4], sys.byteorder), int.from_bytes(events[at + 12 : at + 16], sys.byteorder)
            name = events[at + 16 : at + 16 + length].rstrip(b"\0").decode()
            at += 16 + length
            if name and number in self._watched:
                seen.append((self._watched[number], name))
        for each, name in dict.fromkeys(seen):
            self._read_on(each, name)

    def _read_on(self, each: Host, name: str) -> None:
        key = (each.name, name)
        with contextlib.suppress(FileNotFoundError, AssertionError), each.path(f"{JOURNAL}/{name}").open("rb") as handle:
            handle.seek(self._read.get(key, 0))
            lines = handle.read().split(b"\n")
            # What has no end yet is read when it has.
            self._read[key] = handle.tell() - len(lines[-1])
            for line in filter(None, lines[:-1]):
                self._tell(each, {"run": name.partition(".")[0], **json.loads(line)})


def end(pid: int) -> None:
    """End a process at once."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
