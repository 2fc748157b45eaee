# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What databases promise a registry: one writer at a time, a deadline, one sentence for what goes wrong, and no password in it."""

from __future__ import annotations

import sys
import threading
import time
import traceback

import postgresql
import pytest
from postgresql import BOTH

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import capsules, hn, leases, overview, registry, reservations, rms
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

SHOP, TWO = "shop-1.example.com", "shop-2.example.com"
WITHOUT_A_PASSWORD = "The registry's URL must not hold a password: it belongs into the database's own password file (such as ~/.pgpass)."


@pytest.fixture(name="driven", params=["psycopg2", "psycopg"])
def _driven(request, server, make_at):
    """The URL of a registry in PostgreSQL, by each driver."""
    return make_at(server.empty()).replace("psycopg2", request.param)


def fails(call, *arguments):
    """Return the sentence that *call* fails with."""
    with pytest.raises(MeshError) as caught:
        call(*arguments)
    return caught.value.message


def cut(server):
    """End all connections to the registry."""
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{postgresql.DATABASE}'")


def both_reserve(url, ask):
    """Have one reserve while another one wants the same; return the two records."""
    later = []
    other = threading.Thread(target=lambda: later.append(reservations.reserve(url, ask(TWO, 10)).result["record"]))
    with registry.transaction(url) as tx:
        tx.rows(sa.select(sa.literal(1)))
        other.start()
        other.join(0.5)
        assert other.is_alive(), "nobody waits"
        reservations.ensure(tx, ask(SHOP, 10))
    other.join(60)
    return [overview.overview(url)["records"][0], *later]


@BOTH
def test_whoever_comes_second_waits_and_sees_what_the_first_has_done(url, ask):
    first, second = both_reserve(url, ask)
    assert (first["fabric_address"], second["fabric_address"]) == ("192.168.1.10", "192.168.1.254") and first["rm"] != second["rm"]


def test_so_it_is_whatever_the_server_takes_for_usual(server, driven, ask):
    server.execute(f"ALTER ROLE {postgresql.OWNER} SET default_transaction_isolation = 'serializable'")
    try:
        first, second = both_reserve(driven, ask)
    finally:
        server.execute(f"ALTER ROLE {postgresql.OWNER} RESET ALL")
    assert first["fabric_address"] != second["fabric_address"]


def test_a_commit_outlives_a_power_cut_though_the_server_would_not_wait(server, driven):
    assert server.execute("SHOW synchronous_commit") == [("off",)]
    with registry.transaction(driven) as tx:
        assert tx.connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


@BOTH
def test_whoever_waits_in_vain_is_told(url, ask, monkeypatch):
    with registry.transaction(url) as tx:
        monkeypatch.setattr(registry, "PATIENCE", 1)
        began = time.monotonic()
        with pytest.raises(Refused) as caught:
            reservations.reserve(url, ask())
        assert 0.9 < time.monotonic() - began < 20
        assert caught.value.message == f"Other calls have held the registry {url} for 1 s; try again when they have ended."
        reservations.ensure(tx, ask())
    assert not reservations.reserve(url, ask()).changed


def test_whoever_says_nothing_any_more_loses_its_turn(server, driven, ask, monkeypatch):
    monkeypatch.setattr(registry, "PATIENCE", 1)

    def sleep():
        with registry.transaction(driven) as tx:
            reservations.ensure(tx, ask())
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and server.execute(f"SELECT 1 FROM pg_stat_activity WHERE datname = '{postgresql.DATABASE}'"):
                time.sleep(0.1)
            assert reservations.reserve(driven, ask(TWO, 11)).changed
            tx.rows(sa.select(sa.literal(1)))

    assert fails(sleep).startswith(f"The connection to the registry {driven} was lost, so nothing was changed (")
    assert [record["instance"] for record in overview.overview(driven)["records"]] == [TWO]


def test_what_was_not_committed_when_the_connection_was_lost_is_not_done(server, driven, ask):
    before = overview.overview(driven)

    def change(dry_run):
        with registry.transaction(driven, dry_run) as tx:
            reservations.ensure(tx, ask())
            cut(server)
            if not dry_run:
                tx.rows(sa.select(sa.literal(1)))

    for dry_run in (False, True):
        assert fails(change, dry_run).startswith(f"The connection to the registry {driven} was lost, so nothing was changed (")
    assert overview.overview(driven) == before


def test_nobody_claims_to_know_what_became_of_a_commit_without_an_answer(server, driven, ask):
    # The server's end comes within the commit.
    server.execute(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'",
        "CREATE CONSTRAINT TRIGGER dying AFTER INSERT ON records DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()",
        database=postgresql.DATABASE,
    )
    sentence = fails(reservations.reserve, driven, ask())
    assert sentence.startswith(f"The connection to the registry {driven} was lost while it was told to keep the changes, so they may have been made or not: ")
    assert "\n" not in sentence


def test_what_can_only_be_read_is_read(server, driven, ask):
    server.execute(f"ALTER ROLE {postgresql.OWNER} SET default_transaction_read_only = on")
    try:
        assert overview.overview(driven)["records"] == []
        assert fails(reservations.reserve, driven, ask()) == f"The registry {driven} cannot be used: cannot execute UPDATE in a read-only transaction."
    finally:
        server.execute(f"ALTER ROLE {postgresql.OWNER} RESET ALL")


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_server_that_is_not_there(server, driver):
    url = f"postgresql+{driver}://vma@{server.address}:1/registry"
    sentence = fails(overview.overview, url)
    assert sentence.startswith(f"The registry {url} cannot be used: conn") and sentence.endswith(f'"{server.address}", port 1 failed: Connection refused.')


def test_a_registry_in_postgresql_that_nobody_set_up(server, machine):
    url = server.empty()
    sentence = f"No hosting network is known here: the registry {url} has not been set up (vma_hn does that)."
    assert fails(overview.overview, url) == fails(rms.subscribe, url, "rm-east-1", machine()) == sentence
    assert hn.declare(url, "hn-east", ["198.18.1.0/24"], 100, 4000, 8, dry_run=True).changed
    assert fails(overview.overview, url) == sentence
    server.execute("ALTER SCHEMA public OWNER TO postgres", "GRANT USAGE ON SCHEMA public TO public", database=postgresql.DATABASE)
    assert fails(hn.declare, url, "hn-east", ["198.18.1.0/24"], 100, 4000, 8) == f"The registry {url} cannot be used: permission denied for schema public."


def test_a_driver_that_is_not_there(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    url = f"postgresql+psycopg2://vma@{server.address}/registry"
    sentence = f"The registry {url} cannot be reached from this host: its driver is missing (Debian's python3-psycopg2)."
    assert fails(overview.overview, url) == sentence


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://vma:secret@db/vma",
        "postgresql://vma:secret@db:port/vma",
        "postgresql+psycopg2://vma:sec@cret@db/vma",
        "postgresql+psycopg2://vma:12/secret@db/vma",
        "postgresql+psycopg2://vma:sec/ret@db/vma",
        "postgresql+psycopg2://vma@db/vma?password=secret",
        "postgresql+psycopg2://vma@db/vma?pass%77ord=secret",
        "postgresql+psycopg2://vma@db/vma?sslpassword=secret",
        "mysql://vma:secret@db/vma",
        "vma:secret@db/vma",
    ],
)
def test_a_password_in_the_url_is_refused_and_not_shown(url):
    with pytest.raises(InvalidInput) as caught:
        overview.overview(url)
    told = "".join(traceback.format_exception(type(caught.value), caught.value, caught.value.__traceback__.tb_next.tb_next.tb_next.tb_next))
    assert not any(part in told for part in ("secret", "cret", "sec/ret", "'sec'"))


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_password_is_taken_from_its_file_and_never_shown(server, driver, tmp_path, monkeypatch):
    plain = server.empty(postgresql.GUARDED).replace("psycopg2", driver)
    path = tmp_path / "pgpass"
    url = f"{plain}?passfile={path}"
    for password in ("wrong-horse", postgresql.PASSWORD):
        path.write_text(f"*:*:*:*:{password}\n")
        path.chmod(0o600)
        if password != postgresql.PASSWORD:
            with pytest.raises(MeshError) as caught:
                hn.declare(url, "hn-east", ["198.18.1.0/24"], 100, 4000, 8)
            assert caught.value.message.startswith(f"The registry {plain} cannot be used: conn")
            assert caught.value.message.endswith(f'FATAL: password authentication failed for user "{postgresql.GUARDED}".')
            assert password not in "".join(traceback.format_exception(type(caught.value), caught.value, caught.value.__traceback__))
    assert hn.declare(url, "hn-east", ["198.18.1.0/24"], 100, 4000, 8).changed
    monkeypatch.setenv("PGPASSFILE", str(path))
    assert overview.overview(plain)["hn"]["name"] == "hn-east"


@BOTH
def test_names_are_sorted_as_python_sorts_them(url):
    versions = ["1.0.0-a", "1.0.0-B", "1.0.0", "1.0.0_c"]
    for version in versions:
        capsules.update(url, [{"manifest": {"domain": "example.com", "name": "shop", "version": version}, "rms": ["rm-east-1"]}], [])
    assert [each["manifest"]["version"] for each in overview.overview(url)["capsules"]] == sorted(versions)


@BOTH
def test_there_is_room_for_the_longest_names(url, ask):
    label = "a" * 63
    longest = f"a-1.{label}.{label}.{label}.{'a' * 44}"
    record = reservations.reserve(url, ask(longest)).result["record"]
    assert record["instance"] == longest and len(longest) == names.LONGEST
    with registry.transaction(url) as tx:
        lease = leases.Lease(run=f"{'f' * 32}.{'e' * 32}", operation="recover", who="w" * 253, controller={}, seconds=600.0, above=2**62)
        assert leases.take(tx, lease, [longest]) == {longest: 2**62 + 1}
