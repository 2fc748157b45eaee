# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HN and its RMs in a real registry."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

import pytest
from postgresql import BOTH
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import hn, instances, overview, records, registry, reservations, rms, witness
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

NO_URL = (
    "The registry's URL cannot be used: it must look like 'sqlite:////var/lib/vmatrix/vma/registry.db' or 'postgresql+psycopg2://vma@db.example.com/vma'."
)


def fails(call, *arguments):
    """Return the sentence that *call* fails with."""
    with pytest.raises(MeshError) as caught:
        call(*arguments)
    return caught.value.message


def sql(url, *statements):
    """Execute statements beside the registry; return what the last one finds."""
    with contextlib.closing(sa.create_engine(url, poolclass=sa.pool.NullPool).connect()) as connection, connection.begin():
        for statement in statements:
            done = connection.execute(sa.text(statement))
        return done.scalar() if done.returns_rows else None


def generation(url):
    return overview.overview(url)["hn"]["generation"]


def test_a_registry_is_made_once_and_is_its_owners_only(tmp_path):
    url = f"sqlite:///{tmp_path}/registry.db"
    predicted = hn.declare(url, "hn-east", ["198.18.1.0/24"], 100, 4000, 8, dry_run=True)
    assert os.listdir(tmp_path) == []
    made = hn.declare(url, "hn-east", ["198.18.1.0/24"], 100, 4000, 8)
    assert made == predicted and made.changed and made.before == {}
    assert stat.S_IMODE(os.stat(tmp_path / "registry.db").st_mode) == 0o600
    again = hn.declare(url, "hn-east", ["198.18.1.0/24"], 100, 4000, 8)
    assert not again.changed and again.before == again.after and again.result == made.result


def test_a_registry_that_nobody_set_up(tmp_path, machine, ask):
    url = f"sqlite:///{tmp_path}/registry.db"
    sentence = f"No hosting network is known here: the registry {url} has not been set up (vma_hn does that)."
    assert fails(overview.overview, url) == sentence
    assert fails(rms.subscribe, url, "rm-east-1", machine()) == sentence
    assert fails(reservations.reserve, url, ask()) == sentence
    assert os.listdir(tmp_path) == []
    (tmp_path / "registry.db").touch()
    assert fails(overview.overview, url) == sentence


def test_a_registry_that_cannot_be_read_is_not_one_that_was_never_set_up(tmp_path):
    url = f"sqlite:///{tmp_path}/registry.db"
    hn.declare(url, "hn-east", ["198.18.1.0/24"], 100, 4000, 8)
    for closed in (tmp_path, tmp_path / "registry.db"):
        os.chmod(closed, 0o600)
        os.seteuid(65534)
        try:
            assert fails(overview.overview, url) == f"The registry {url} cannot be read with the rights of user 65534: run this as root (become)."
        finally:
            os.seteuid(0)
            os.chmod(closed, 0o755)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("registry.db", NO_URL),
        ("nonsense://host/db", NO_URL),
        ("mysql://vma@db/vma", NO_URL),
        ("postgresql+asyncpg://vma@db/vma", NO_URL),
        ("postgresql://vma@db:port/vma", NO_URL),
        (
            "sqlite:///registry.db",
            "The registry sqlite:///registry.db cannot be shared: its path must be absolute, as in 'sqlite:////var/lib/vmatrix/vma/registry.db'.",
        ),
        ("sqlite:////nowhere/at/all/registry.db", "The registry cannot be made: the directory /nowhere/at/all does not exist."),
    ],
)
def test_urls_that_cannot_be_used(url, sentence):
    assert fails(hn.declare, url, "hn-east", ["198.18.1.0/24"], 100, 4000, 8) == sentence


def test_what_is_no_registry_is_not_touched(tmp_path):
    path = tmp_path / "registry.db"
    path.write_text("this is not a database, but a letter to my grandmother " * 40)
    sentence = fails(hn.declare, f"sqlite:///{path}", "hn-east", ["198.18.1.0/24"], 100, 4000, 8)
    assert sentence == f"The registry sqlite:///{path} cannot be used: file is not a database."
    assert path.read_text().startswith("this is not a database")


@BOTH
def test_a_newer_schema_is_refused(url):
    sql(url, "UPDATE registry SET schema_version = 8")
    sentence = f"The registry {url} has schema version 8; this version of the collection knows versions 4 to 7 only."
    assert fails(overview.overview, url) == fails(rms.subscribe, url, "rm-east-1", {}) == sentence


@BOTH
def test_an_older_registry_goes_on_and_gets_what_it_lacks_with_the_first_change(url, ask):
    reservations.reserve(url, ask())
    before = overview.overview(url)
    sql(url, *(f"DROP TABLE {table}" for table in ("holders", "capsules", "listings", "leases")), "UPDATE registry SET schema_version = 4")
    # The versions that made such registries kept no witness.
    shutil.rmtree(witness.DIRECTORY)

    def version():
        return sql(url, "SELECT schema_version FROM registry")

    before["hn"]["lease"] = 0
    before["hn"]["attended"] = False
    before["rms"] = [{**rm, "heard": False} for rm in before["rms"]]
    assert overview.overview(url) == before and version() == 4, "who looks leaves it as it is"
    assert rms.subscribe(url, "rm-east-1", {"capsules": []}, dry_run=True).changed and version() == 4, "so does check mode"
    assert rms.subscribe(url, "rm-east-1", {"in_service": True}).changed is False and version() == 7
    assert overview.overview(url) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("hn-west", ["198.18.1.0/28"], 100, 4000, 8), "This registry belongs to hn-east, so it cannot be set up for hn-west."),
        (("hn-east", ["198.18.2.0/28"], 100, 4000, 8), "The public pools must keep 198.18.1.1: the service shop of example.com uses it."),
        (("hn-east", ["198.18.1.0/28"], 200, 4000, 8), "The VLANs must keep 100: example.com uses it."),
        (("hn-east", ["198.18.1.0/28"], 0, 4000, 8), "0 to 4000 is not a range of VLANs: it must lie within 1 to 4094."),
        (("hn-east", ["198.18.1.0/28"], 300, 200, 8), "300 to 200 is not a range of VLANs: it must lie within 1 to 4094."),
        (("hn-east", ["198.18.1.0/28"], 100, 4095, 8), "100 to 4095 is not a range of VLANs: it must lie within 1 to 4094."),
        (("hn-east", ["198.18.1.0/28"], 100, 4000, 0), "vcpu_overcommit must be at least 1, not 0."),
    ],
)
def test_what_an_hn_cannot_be(url, ask, arguments, sentence):
    reservations.reserve(url, ask())
    before = overview.overview(url)
    assert fails(hn.declare, url, *arguments) == sentence
    assert overview.overview(url) == before


def test_a_bad_hn_name_is_refused(tmp_path):
    assert fails(hn.declare, f"sqlite:///{tmp_path}/registry.db", "../east", [], 100, 4000, 8).startswith("'../east' is not a name for a hosting network")


@BOTH
def test_pools_grow_and_shrink_around_what_is_used(url, ask):
    reservations.reserve(url, ask())
    assert hn.declare(url, "hn-east", ["198.18.1.0/30", "198.18.9.0/24"], 100, 4000, 8).changed
    assert overview.overview(url)["hn"]["public_pools"] == ["198.18.1.0/30", "198.18.9.0/24"]


@BOTH
def test_an_rm_subscribes_once(make, machine):
    url = make(machines=())
    before = generation(url)
    predicted = rms.subscribe(url, "rm-east-1", machine(), dry_run=True)
    assert generation(url) == before
    done = rms.subscribe(url, "rm-east-1", machine())
    assert done == predicted and done.after["in_service"] is True
    assert generation(url) == before + 1
    again = rms.subscribe(url, "rm-east-1", machine(machine_types=["pc-i440fx-7.2", "pc-i440fx-7.2"]))
    assert not again.changed and generation(url) == before + 1


def test_what_is_omitted_stays(url):
    done = rms.subscribe(url, "rm-east-1", {"in_service": False})
    assert done.changed and done.after == {**done.before, "in_service": False}
    assert rms.subscribe(url, "rm-east-1", {"memory_mib": 2048}).after["in_service"] is False


@pytest.mark.parametrize(
    ("name", "different", "sentence"),
    [
        ("rm-east-1", {"address": "-oProxyCommand=x"}, "The address '-oProxyCommand=x' of rm-east-1 is neither a host name nor an IP address."),
        ("rm-east-1", {"memory_mib": 0}, "The memory_mib of rm-east-1 must be at least 1, not 0."),
        ("rm-east-1", {"disk_bytes": -1}, "The disk_bytes of rm-east-1 must be at least 0, not -1."),
        ("rm-east-1", {"accelerator": "xen"}, "The accelerator of rm-east-1 must be kvm or tcg, not 'xen'."),
        ("rm-east-9", {"cpus": None, "vcpus": None}, "rm-east-9 has not subscribed to hn-east yet, so this must be said too: vcpus, cpus."),
    ],
)
def test_what_an_rm_cannot_be(url, machine, name, different, sentence):
    assert fails(rms.subscribe, url, name, machine(**different)) == sentence


@BOTH
def test_an_rm_leaves_when_it_is_empty(url, ask):
    reservations.reserve(url, ask(rm="rm-east-1"))
    assert fails(rms.unsubscribe, url, "rm-east-1") == "rm-east-1 cannot leave hn-east: it holds shop-1.example.com."
    assert rms.unsubscribe(url, "rm-east-2").changed
    assert not rms.unsubscribe(url, "rm-east-2").changed
    assert [rm["name"] for rm in overview.overview(url)["rms"]] == ["rm-east-1"]


def test_an_rm_that_somebody_moves_to_stays(url, ask):
    reservations.reserve(url, ask(rm="rm-east-1"))
    instances.update(url, {"instance": "shop-1.example.com", "move": "begin"})
    assert fails(rms.unsubscribe, url, "rm-east-2") == "rm-east-2 cannot leave hn-east: it holds shop-1.example.com."


@pytest.mark.parametrize("opened", [registry.transaction, registry.reading])
def test_a_commit_outlives_a_power_cut_and_references_are_kept(url, opened):
    with opened(url) as tx:
        asked = {name: tx.connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert asked == {"journal_mode": "delete", "synchronous": 3, "foreign_keys": 1}


@BOTH
def test_the_database_itself_refuses_a_record_on_an_rm_that_there_is_not(url, ask):
    record = reservations.reserve(url, ask()).result["record"]
    before = overview.overview(url)

    def write(**different):
        with registry.transaction(url) as tx:
            records.write(tx, {**record, **different})

    for different in ({"rm": "rm-east-9"}, {"moves_to": "rm-east-9"}, {"instance": "shop-2.example.com", "fabric_address": "192.168.1.2", "rm": "rm-east-9"}):
        with pytest.raises(MeshError, match=r"(?i)cannot be used: .*foreign key constraint.*\."):
            write(**different)
    assert overview.overview(url) == before


@BOTH
def test_who_looks_waits_for_no_change_and_holds_none_up(url, ask, monkeypatch):
    monkeypatch.setattr(registry, "PATIENCE", 1)
    before = overview.overview(url)
    with registry.transaction(url) as tx:
        reservations.ensure(tx, ask())
        assert overview.overview(url) == before
    with registry.reading(url) as tx:
        assert reservations.reserve(url, ask("shop-2.example.com", 11), dry_run=True).changed
        assert len(records.everything(tx)) == 1


@BOTH
def test_epochs_of_what_is_gone_are_told(url, ask):
    reservations.reserve(url, ask())
    instances.update(url, {"instance": "shop-1.example.com", "state": "absent"})
    found = overview.overview(url)
    assert found["records"] == []
    assert found["epochs"] == {"shop-1.example.com": 1}
    assert overview.overview(url, domain="example.org")["epochs"] == {}
