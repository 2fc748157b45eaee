# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real PostgreSQL server on an address of the loopback that nobody else has."""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import typing as t

import psycopg2
import pytest

#: For tests of what a registry has to be in every database; the others have SQLite.
BOTH = pytest.mark.parametrize("empty", ["sqlite", "postgresql"], indirect=True)

#: PostgreSQL refuses to run as root.
USER = "nobody"
DATABASE = "registry"
#: Who owns what is in it, and is nobody special.
OWNER = "vma"
#: Whoever is asked for a password, and which.
GUARDED, PASSWORD = "guarded", "open-sesame-42"

# Nobody but this machine can reach it.
ACCESS = f"""
local all all trust
host all {GUARDED} samehost scram-sha-256
host all all samehost trust
"""


class Server:
    """A server that runs until it is closed.

    Attributes:
        address: where it listens.
        process: its first one.
    """

    def __init__(self, directory: str | None = None, durable: bool = False) -> None:
        """Start one, below *directory* if that is given; only if it is *durable* what it has committed outlives a power cut."""
        programs = _programs()
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix="vmatrix-postgresql-", dir=directory))
        # No two processes have the same one.
        self.address = ".".join(["127", *(str(os.getpid() >> shift & 255) for shift in (16, 8, 0))])
        shutil.chown(self._directory, USER)
        # Names are sorted here as people sort them, so that it shows where that is relied on.
        sorting = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
        self._run([programs / "initdb", "--no-sync", "--no-instructions", "--auth=trust", "--username=postgres", *sorting, self._directory / "data"])
        (self._directory / "data" / "pg_hba.conf").write_text(ACCESS, encoding="ascii")
        settings = {"listen_addresses": self.address, "unix_socket_directories": str(self._directory), "max_connections": "200"}
        if not durable:
            settings.update(fsync="off", synchronous_commit="off", full_page_writes="off")
        argv = [str(programs / "postgres"), "-D", str(self._directory / "data"), *(part for setting in settings.items() for part in ("-c", "=".join(setting)))]
        self._log = open(self._directory / "log", "wb")
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd=self._directory, user=USER, env={})
        try:
            self._wait()
            self.execute(f"CREATE ROLE {OWNER} LOGIN", f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'", f"CREATE DATABASE {DATABASE}")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop it and remove all that it has."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # at once: what it holds is thrown away
            self.process.wait(timeout=30)
        self._log.close()
        shutil.rmtree(self._directory)

    def execute(self, *statements: str, database: str = "postgres") -> list[tuple[t.Any, ...]]:
        """Execute statements as an administrator, each by itself; return what the last one finds."""
        with contextlib.closing(psycopg2.connect(host=self.address, user="postgres", dbname=database, connect_timeout=10)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    def empty(self, user: str = OWNER) -> str:
        """Return the URL of a database in which nothing is; there is one only, as it takes long to make them."""
        self.execute("DROP SCHEMA public CASCADE", f"CREATE SCHEMA public AUTHORIZATION {user}", database=DATABASE)
        return f"postgresql+psycopg2://{user}@{self.address}/{DATABASE}"

    def _run(self, argv: t.Sequence[t.Any]) -> None:
        done = subprocess.run(argv, cwd=self._directory, user=USER, env={}, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{argv[0]} failed: {done.stderr}")

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg2.OperationalError as exc:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL has not started: {(self._directory / 'log').read_text(errors='replace')}") from exc
                time.sleep(0.05)


def _programs() -> pathlib.Path:
    """Return the directory of the newest PostgreSQL of this machine; Debian keeps it out of PATH."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: float(path.split("/")[4]))
    program = found[-1] if found else shutil.which("postgres")
    if program is None:
        raise RuntimeError("PostgreSQL is not installed (Debian's package postgresql).")
    return pathlib.Path(program).resolve().parent
