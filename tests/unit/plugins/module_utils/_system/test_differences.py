# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts as different: what a role's tasks would change, and no more."""

from __future__ import annotations

import getpass
import grp
import os
import subprocess

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._system import differences as engine
from ansible_collections.vmatrix.mesh.plugins.module_utils._system.differences import differences

MARKER = "# {mark} vmatrix.mesh"


@pytest.fixture
def program(monkeypatch):
    """Return what has any program print a text, or fail with an error."""

    def says(answer):
        def run(argv, **_how):
            if isinstance(answer, Exception):
                raise answer
            return subprocess.CompletedProcess(argv, 0, answer, "")

        monkeypatch.setattr(engine, "run", run)

    return says


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "settings"
    path.write_text("as it should be\n", encoding="utf-8")
    path.chmod(0o640)
    return {"path": str(path), "content": "as it should be\n", "mode": "0640", "owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


def test_a_host_that_is_as_described_does_not_differ(file, tmp_path, program):
    program("nftables\tinstalled\n")
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    described = {
        "packages": ["nftables"],
        "files": [file],
        "directories": [{"path": str(tmp_path), "mode": f"{tmp_path.stat().st_mode & 0o7777:04o}"}],
        "links": [{"path": str(link), "target": "/dev/null"}],
        "existing": [file["path"]],
        "users": [],
    }
    assert differences(described) == []
    assert differences({}) == []


def test_what_nobody_can_look_for_is_refused():
    with pytest.raises(InvalidInput, match="Nobody can look for moods, tempers of a host; what can be described is: packages, "):
        differences({"tempers": [], "moods": []})


def test_packages_that_are_not_installed(program):
    program("one\tinstalled\ntwo\tconfig-files\n")
    assert differences({"packages": ["one", "two", "three"]}) == ["The package two is not installed.", "The package three is not installed."]


def test_where_programs_fail_nothing_can_be_told(program):
    program(CommandFailed("The program is not installed on this host."))
    described = {"packages": ["one"], "units": [{"name": "one.service", "enabled": True}]}
    assert differences(described) == ["The program is not installed on this host."] * 2


@pytest.mark.parametrize(
    "requirement, found, difference",
    [
        ("vici==6.0.3", "6.0.3", []),
        ("vici==6.0.3", "5.9", ["vici is installed as 5.9, not 6.0.3."]),
        ("vici==6.0.3", None, ["vici 6.0.3 is not installed."]),
        ("/srv/images/vici-6.0.3-py3-none-any.whl", "6.0.3", []),
        ("https://example.com/w/vici-6.0.4-1-py3-none-any.whl", "6.0.3", ["vici is installed as 6.0.3, not 6.0.4."]),
        ("vici>=6", "6.0.3", ["Only pip can tell whether vici>=6 is installed."]),
    ],
)
def test_what_pip_has_installed(monkeypatch, requirement, found, difference):
    def version(name):
        assert name == "vici"
        if found is None:
            raise engine.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(engine.metadata.load(), "version", version)
    assert differences({"distributions": [requirement]}) == difference


def test_users(tmp_path, monkeypatch):
    shadow = tmp_path / "shadow"
    shadow.write_text("daemon:*:19000::::::\nroot:!:19000::::::\n", encoding="utf-8")
    monkeypatch.setattr(engine, "SHADOW", str(shadow))
    root = {"name": "root", "comment": "root", "home": "/root", "password": "!"}
    assert differences({"users": [root]}) == []
    other = {**root, "comment": "nobody", "password": "*", "home": "/home/root", "shell": "/bin/none"}
    first, second, third, last = differences({"users": [other]})
    assert first == "The comment of the user root is 'root', not 'nobody'."
    assert second == "The home of the user root is '/root', not '/home/root'." and third.startswith("The shell of the user root is ")
    assert last == "The user root has another password."
    assert differences({"users": [{"name": "no-such-user"}]}) == ["There is no user no-such-user."]
    shadow.unlink()
    assert differences({"users": [root]}) == ["The user root has another password."]


@pytest.mark.parametrize(
    "change, difference",
    [
        ({"content": "another\n"}, "{path} does not hold what it should."),
        ({"mode": "0644"}, "{path} has mode 0640, not 0644."),
        ({"owner": "no-such-user"}, "The owner of {path} is {owner}, not no-such-user."),
        ({"group": "no-such-group"}, "The group of {path} is {group}, not no-such-group."),
    ],
)
def test_files(file, change, difference):
    assert differences({"files": [{**file, **change}]}) == [difference.format(**file)]


def test_a_file_of_an_unknown_owner(file, monkeypatch):
    monkeypatch.setattr(engine.pwd, "getpwuid", lambda number: {}[number])
    monkeypatch.setattr(engine.grp, "getgrgid", lambda number: {}[number])
    path, user, group = file["path"], os.getuid(), os.getgid()
    assert differences({"files": [file]}) == [
        f"The owner of {path} is {user}, not {file['owner']}.",
        f"The group of {path} is {group}, not {file['group']}.",
    ]


def test_only_what_is_described_of_a_file_counts(file):
    assert differences({"files": [{"path": file["path"]}]}) == []


def test_what_is_no_file(file, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(file["path"])
    assert differences({"files": [{**file, "path": str(link)}, {**file, "path": str(tmp_path)}]}) == [f"{link} is no file.", f"{tmp_path} is no file."]
    assert differences({"files": [{**file, "path": "/no/such/file"}]}) == ["There is no /no/such/file."]


def test_what_cannot_be_read_differs(file, monkeypatch):
    def denied(path, *_how):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(engine.os, "lstat", denied)
    assert differences({"files": [file]}) == [f"{file['path']} cannot be read: Permission denied."]


@pytest.mark.parametrize(
    "text, differs",
    [
        ("before\n# BEGIN vmatrix.mesh\none\ntwo\n# END vmatrix.mesh\nafter\n", False),
        ("# BEGIN vmatrix.mesh\none\ntwo\n# END vmatrix.mesh", False),
        ("# BEGIN vmatrix.mesh\none\n# END vmatrix.mesh\n", True),
        ("# BEGIN vmatrix.mesh\none\ntwo\nthree\n# END vmatrix.mesh\n", True),
        ("# BEGIN vmatrix.mesh\n# END vmatrix.mesh\n", True),
        ("# BEGIN vmatrix.mesh\none\ntwo\n", True),
        ("one\ntwo\n", True),
        ("", True),
    ],
)
def test_blocks(tmp_path, text, differs):
    path = tmp_path / "qemu.conf"
    path.write_text(text, encoding="utf-8")
    block = {"path": str(path), "marker": MARKER, "block": "one\ntwo\n"}
    assert differences({"blocks": [block]}) == ([f"{path} does not hold the lines that it should."] if differs else [])


def test_a_block_in_no_text(tmp_path):
    path = tmp_path / "qemu.conf"
    path.write_bytes(b"\xff")
    block = {"path": str(path), "marker": MARKER, "block": "one\n"}
    (unreadable,) = differences({"blocks": [block]})
    assert unreadable.startswith(f"{path} cannot be read: ")
    assert differences({"blocks": [{**block, "path": "/no/such/file"}]}) == ["There is no /no/such/file."]


def test_directories(tmp_path, file):
    tmp_path.chmod(0o711)
    described = [{"path": str(tmp_path), "mode": "0700"}, {"path": file["path"]}, {"path": "/no/such/directory"}]
    assert differences({"directories": described}) == [
        f"{tmp_path} has mode 0711, not 0700.",
        f"{file['path']} is no directory.",
        "There is no /no/such/directory.",
    ]


def test_links(tmp_path, file):
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    described = [{"path": path, "target": "/dev/null"} for path in (str(link), file["path"], "/no/such/link")]
    assert differences({"links": described}) == [f"{link} leads to /dev/zero, not to /dev/null.", f"{file['path']} is no link.", "There is no /no/such/link."]


def test_what_is_not_there():
    assert differences({"existing": ["/", "/no/such/thing"]}) == ["There is no /no/such/thing."]


def test_units(program):
    # The order of properties is systemd's own.
    good, bad = "ActiveState=active\nUnitFileState=enabled\n", "ActiveState=inactive\nUnitFileState=disabled\n"
    program("\n".join([good, bad, bad, "ActiveState=inactive\nUnitFileState=\n"]))
    described = [
        {"name": "good.service", "enabled": True, "state": "started"},
        {"name": "bad.service", "enabled": True, "state": "started"},
        {"name": "stopped.service", "enabled": False},
        {"name": "missing.service", "enabled": True},
    ]
    assert differences({"units": described}) == [
        "The unit bad.service is not enabled.",
        "The unit bad.service is not running.",
        "The unit missing.service is not enabled.",
    ]
