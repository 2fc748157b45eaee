# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Whether packages, files, users and units of this host are as a role describes them; nothing is changed.

A role's tasks hand the same description to Ansible's own modules. What counts as different here is therefore what those would change, and no more.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.lazy import Lazy
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run

Item = t.Mapping[str, t.Any]
#: What is different, one short sentence each.
Found = t.Iterator[str]

#: What pip has installed.
metadata = Lazy("importlib.metadata")
SHADOW = "/etc/shadow"
#: What C(systemctl is-enabled) takes for enabled, and what has been started.
ENABLED = ("enabled", "enabled-runtime", "static", "alias", "indirect", "generated")
STARTED = ("active", "activating")


def differences(description: t.Mapping[str, t.Sequence[t.Any]]) -> list[str]:
    """Return what is not as described, one short sentence each.

    Args:
        description: any of
            C(packages), names of Debian packages that are to be installed;
            C(distributions), what pip is to have installed: C(NAME==VERSION), or the path or URL of a wheel;
            C(users), each with C(name), and C(comment), C(home), C(shell), C(password) (its hash);
            C(files), each with C(path), and C(content), C(mode), C(owner), C(group);
            C(blocks), each with C(path), C(marker) and C(block), as M(ansible.builtin.blockinfile) takes them;
            C(directories), each with C(path), and C(mode), C(owner), C(group);
            C(links), each with C(path) and C(target);
            C(existing), paths of what is to be there, whatever it is;
            C(units), each with C(name), and C(enabled), C(state), which can be C(started) or C(stopped).

    Raises:
        InvalidInput: it describes something else.
    """
    unknown = sorted(set(description) - set(_KINDS))
    if unknown:
        raise InvalidInput(f"Nobody can look for {', '.join(unknown)} of a host; what can be described is: {', '.join(_KINDS)}.")
    return [sentence for kind, look in _KINDS.items() if description.get(kind) for sentence in look(description[kind])]


def _packages(names: t.Sequence[str]) -> Found:
    try:
        listed = run(["dpkg-query", "--show", "--showformat=${Package}\t${db:Status-Status}\n", *names], check=False).stdout
    except (CommandFailed, DeadlineExceeded) as exc:
        yield exc.message
        return
    installed = {name for name, unused, status in (line.partition("\t") for line in listed.splitlines()) if status == "installed"}
    yield from (f"The package {name} is not installed." for name in names if name not in installed)


def _distributions(requirements: t.Sequence[str]) -> Found:
    for requirement in requirements:
        # The name of a wheel's file begins with name and version (PEP 427).
        pinned = re.fullmatch(r"(?:.*/)?([^/-]+)-([^/-]+)(?:-[^/-]+){3,4}\.whl", requirement) or re.fullmatch(r"([\w.-]+)==([\w.!+]+)", requirement)
        if not pinned:
            yield f"Only pip can tell whether {requirement} is installed."
            continue
        name, version = pinned.groups()
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield f"{name} {version} is not installed."
        else:
            if found != version:
                yield f"{name} is installed as {found}, not {version}."


def _users(users: t.Sequence[Item]) -> Found:
    for user in users:
        name = user["name"]
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            yield f"There is no user {name}."
            continue
        there = {"comment": entry.pw_gecos, "home": entry.pw_dir, "shell": entry.pw_shell}
        yield from (f"The {part} of the user {name} is {is_!r}, not {user[part]!r}." for part, is_ in there.items() if user.get(part, is_) != is_)
        member = {group.gr_name for group in grp.getgrall() if name in group.gr_mem}
        yield from (f"The user {name} is not in the group {group}." for group in user.get("groups", ()) if group not in member)
        if "password" in user and _password(name) != user["password"]:
            yield f"The user {name} has another password."


def _password(name: str) -> str | None:
    try:
        with open(SHADOW, encoding="utf-8") as handle:
            return next((line.split(":")[1] for line in handle if line.startswith(f"{name}:")), None)
    except OSError:
        return None


def _files(files: t.Sequence[Item]) -> Found:
    for file in files:
        path = file["path"]
        try:
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode):
                yield f"{path} is no file."
                continue
            if "content" in file and _content(path) != file["content"].encode():
                yield f"{path} does not hold what it should."
        except OSError as exc:
            yield _unreadable(path, exc)
        else:
            yield from _access(file, status)


def _content(path: str) -> bytes:
    with open(path, "rb") as handle:
        return handle.read()


def _blocks(blocks: t.Sequence[Item]) -> Found:
    for block in blocks:
        path = block["path"]
        try:
            with open(path, encoding="utf-8") as handle:
                lines = handle.read().splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            yield _unreadable(path, exc)
            continue
        # The last ones count, if there are several.
        last = {line: number for number, line in enumerate(lines)}
        begin, end = (last.get(block["marker"].replace("{mark}", mark)) for mark in ("BEGIN", "END"))
        if begin is None or end is None or lines[begin + 1 : end] != block["block"].splitlines():
            yield f"{path} does not hold the lines that it should."


def _directories(directories: t.Sequence[Item]) -> Found:
    for directory in directories:
        path = directory["path"]
        try:
            status = os.stat(path)
        except OSError as exc:
            yield _unreadable(path, exc)
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _access(directory, status)
        else:
            yield f"{path} is no directory."


def _access(wanted: Item, status: os.stat_result) -> Found:
    """Return how mode, owner and group of what has this status differ from those that are wanted."""
    path, mode = wanted["path"], stat.S_IMODE(status.st_mode)
    if "mode" in wanted and int(wanted["mode"], 8) != mode:
        yield f"{path} has mode {mode:04o}, not {wanted['mode']}."
    for part, named, number in (("owner", _user, status.st_uid), ("group", _group, status.st_gid)):
        if part in wanted and named(number) != wanted[part]:
            yield f"The {part} of {path} is {named(number)}, not {wanted[part]}."


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _links(links: t.Sequence[Item]) -> Found:
    for link in links:
        path = link["path"]
        try:
            target = os.readlink(path)
        except OSError as exc:
            yield f"{path} is no link." if os.path.exists(path) else _unreadable(path, exc)
        else:
            if target != link["target"]:
                yield f"{path} leads to {target}, not to {link['target']}."


def _existing(paths: t.Sequence[str]) -> Found:
    yield from (f"There is no {path}." for path in paths if not os.path.exists(path))


def _units(units: t.Sequence[Item]) -> Found:
    names = [unit["name"] for unit in units]
    try:
        shown = run(["systemctl", "show", "--property=UnitFileState,ActiveState", "--", *names]).stdout
    except (CommandFailed, DeadlineExceeded) as exc:
        yield exc.message
        return
    # One paragraph for each, in their order.
    states = [dict(line.split("=", 1) for line in paragraph.splitlines()) for paragraph in shown.strip().split("\n\n")]
    for unit, state in zip(units, states):
        enabled, started = state.get("UnitFileState") in ENABLED, state.get("ActiveState") in STARTED
        if "enabled" in unit and bool(unit["enabled"]) != enabled:
            yield f"The unit {unit['name']} is {'' if enabled else 'not '}enabled."
        if unit.get("state") and (unit["state"] != "stopped") != started:
            yield f"The unit {unit['name']} is {'' if started else 'not '}running."


def _unreadable(path: str, exc: Exception) -> str:
    return f"There is no {path}." if isinstance(exc, FileNotFoundError) else f"{path} cannot be read: {getattr(exc, 'strerror', exc)}."


#: What can be described, and who looks for it.
_KINDS: dict[str, t.Callable[[t.Sequence[t.Any]], Found]] = {
    "packages": _packages,
    "distributions": _distributions,
    "users": _users,
    "files": _files,
    "blocks": _blocks,
    "directories": _directories,
    "links": _links,
    "existing": _existing,
    "units": _units,
}
