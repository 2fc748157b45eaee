# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The archive of the engines: its content, its use by a Python without Ansible, and its way to a host."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile

import pytest

from ansible_collections.vmatrix.mesh.plugins.plugin_utils.engines import MODULE_UTILS, PACKAGE, archive

COLLECTIONS = os.path.abspath(os.path.join(".build", "collections"))


def names(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


@pytest.fixture
def sources(tmp_path):
    """A tree of engines, with litter that belongs to nobody."""
    for name in ("_core/__init__.py", "_core/names.py", "_core/README", "_core/__pycache__/names.cpython-311.pyc", "_module/edge.py", "_vma/store/db.py"):
        path = tmp_path / "module_utils" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "module_utils"


def test_it_holds_the_engines_and_nothing_else(sources):
    assert [name for name in names(archive(str(sources))) if not name.endswith("/")] == [
        f"{PACKAGE}/_core/__init__.py",
        f"{PACKAGE}/_core/names.py",
        f"{PACKAGE}/_vma/store/db.py",
    ]


def test_every_directory_comes_before_what_it_holds(sources):
    seen = set()
    for name in names(archive(str(sources))):
        parent = os.path.dirname(name.rstrip("/"))
        assert not parent or f"{parent}/" in seen
        seen.add(name)


def test_the_same_sources_give_the_same_bytes(sources):
    first = archive(str(sources))
    source = sources / "_core" / "names.py"
    os.utime(source, (1, 1))
    source.chmod(0o600)
    assert archive(str(sources)) == first
    source.write_text("other")
    assert archive(str(sources)) != first


def test_a_python_without_ansible_and_libraries_imports_every_engine(tmp_path):
    path = tmp_path / "engines.zip"
    path.write_bytes(archive(MODULE_UTILS))
    modules = [name[: -len(".py")].replace("/", ".") for name in names(path.read_bytes()) if name.endswith(".py") and not name.endswith("__init__.py")]
    assert f"{PACKAGE.replace('/', '.')}._core.names" in modules
    program = "import importlib, sys\nfor name in sys.argv[1:]:\n    assert importlib.import_module(name).__file__.startswith(sys.path[1]), name\n"
    done = subprocess.run(
        # -S leaves site-packages out, where Ansible and the libraries are.
        [sys.executable, "-S", "-c", program, *modules],
        env={"PYTHONPATH": str(path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def install(tmp_path):
    """Run the action against this machine as Ansible does, and return its result."""
    settings = tmp_path / "ansible.cfg"
    settings.write_text(
        f"""
        [defaults]
        collections_path = {COLLECTIONS}
        interpreter_python = {sys.executable}
        inventory = localhost,
        local_tmp = {tmp_path}/local
        nocolor = true
        remote_tmp = {tmp_path}/remote
        transport = local
        """
    )

    def run(path, *flags):
        done = subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "ansible"), "localhost", "-m", "vmatrix.mesh.engines", "-a", f"path={path}", *flags],
            env={**os.environ, "ANSIBLE_CONFIG": str(settings), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        dummy, arrow, result = done.stdout.partition(" => ")
        assert arrow, done.stdout + done.stderr
        return json.loads(result)

    return run


def test_it_installs_once_and_says_beforehand_what_it_will_do(install, tmp_path):
    path = tmp_path / "made" / "engines.zip"

    assert install(path, "--check")["changed"] is True
    assert not path.parent.exists()

    done = install(path)
    assert (done["changed"], done["path"]) == (True, str(path))
    assert path.parent.stat().st_mode & 0o777 == 0o755
    assert path.read_bytes() == archive(MODULE_UTILS)
    assert path.stat().st_mode & 0o777 == 0o644

    assert install(path)["changed"] is False

    path.write_bytes(b"old engines")
    assert install(path)["changed"] is True
    assert path.read_bytes() == archive(MODULE_UTILS)

    path.chmod(0o600)
    assert install(path, "--check")["changed"] is True
    assert path.stat().st_mode & 0o777 == 0o600
    assert install(path)["changed"] is True
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]
    assert list((tmp_path / "remote").iterdir()) == [], "what was sent lies about"


def test_what_cannot_be_installed_is_one_clear_sentence(install, tmp_path):
    (tmp_path / "file").write_text("no directory")
    path = tmp_path / "file" / "engines.zip"
    assert install(path)["msg"] == f"The engines could not be installed as {path}: {path}: Not a directory."
