# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a VMA knows of its RMs' capsules."""

from __future__ import annotations

import pytest
from postgresql import BOTH
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import vma
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import capsules, overview, registry, rms, schema
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa


def manifest(version="1.0.0", name="shop", domain="example.com", **more):
    return {"schema": 1, "name": name, "version": version, "domain": domain, "disks": [], **more}


def known(url, **only):
    """Return who holds what, and who has told all."""
    found = overview.overview(url, **only)
    held = {f"{each['manifest']['name']} {each['manifest']['version']}": each["rms"] for each in found["capsules"]}
    return held, [rm["name"] for rm in found["rms"] if rm["listed"]]


@BOTH
def test_an_rm_tells_all_that_it_holds(url):
    assert known(url) == ({}, []), "what was never told is not known"
    predicted = rms.subscribe(url, "rm-east-1", {"capsules": [manifest(), manifest("2.0.0")]}, dry_run=True)
    assert known(url) == ({}, [])
    done = rms.subscribe(url, "rm-east-1", {"capsules": [manifest(), manifest("2.0.0")]})
    assert done == predicted and done.changed and done.before["capsules"] is None
    assert done.after["capsules"] == ["shop 1.0.0 of example.com", "shop 2.0.0 of example.com"]
    assert not rms.subscribe(url, "rm-east-1", {"capsules": [manifest("2.0.0"), manifest()]}).changed
    assert known(url) == ({"shop 1.0.0": ["rm-east-1"], "shop 2.0.0": ["rm-east-1"]}, ["rm-east-1"])


def test_what_is_told_replaces_what_was_known_and_what_is_omitted_stays(url):
    for name in ("rm-east-1", "rm-east-2"):
        rms.subscribe(url, name, {"capsules": [manifest(), manifest(name="db")]})
    rms.subscribe(url, "rm-east-1", {"in_service": False})
    assert known(url)[0] == {"db 1.0.0": ["rm-east-1", "rm-east-2"], "shop 1.0.0": ["rm-east-1", "rm-east-2"]}
    assert rms.subscribe(url, "rm-east-1", {"capsules": []}).after["capsules"] == []
    assert known(url) == ({"db 1.0.0": ["rm-east-2"], "shop 1.0.0": ["rm-east-2"]}, ["rm-east-1", "rm-east-2"])


def test_where_rms_differ_about_a_version_the_first_word_counts(url):
    """Else their subscriptions would contradict each other again and again."""
    other = manifest(memory=None)
    assert rms.subscribe(url, "rm-east-1", {"capsules": [manifest()]}).changed
    assert rms.subscribe(url, "rm-east-2", {"capsules": [other]}).changed
    for name, held in (("rm-east-1", manifest()), ("rm-east-2", other)):
        assert not rms.subscribe(url, name, {"capsules": [held]}).changed
    assert overview.overview(url)["capsules"] == [{"manifest": manifest(), "rms": ["rm-east-1", "rm-east-2"]}]
    rms.subscribe(url, "rm-east-1", {"capsules": []})
    assert rms.subscribe(url, "rm-east-2", {"capsules": [other]}).changed
    assert overview.overview(url)["capsules"] == [{"manifest": other, "rms": ["rm-east-2"]}]


@BOTH
def test_operations_tell_who_holds_a_capsule_now_and_who_not_any_more(url):
    told = {"held": [{"manifest": manifest(), "rms": ["rm-east-1", "rm-east-2"]}], "registry": url}
    assert vma.hold(told, True).changed and known(url) == ({}, [])
    done = vma.hold(told, False)
    assert (done.changed, done.before, done.after) == (True, {"shop 1.0.0 of example.com": []}, {"shop 1.0.0 of example.com": ["rm-east-1", "rm-east-2"]})
    assert not vma.hold(told, False).changed
    assert known(url) == ({"shop 1.0.0": ["rm-east-1", "rm-east-2"]}, []), "that is not all that they hold"
    gone = {"domain": "example.com", "name": "shop", "version": "1.0.0", "rms": ["rm-east-1"]}
    assert vma.hold({"gone": [gone], "registry": url}, False).changed and known(url)[0] == {"shop 1.0.0": ["rm-east-2"]}
    vma.hold({"gone": [{**gone, "rms": ["rm-east-2", "rm-nowhere"]}], "registry": url}, False)
    assert known(url)[0] == {}
    with registry.reading(url) as tx:
        assert tx.rows(sa.select(schema.CAPSULES)) == [], "what nobody holds is forgotten"


def test_no_document_depends_on_capsules(url):
    before = overview.overview(url)["hn"]["generation"]
    rms.subscribe(url, "rm-east-1", {"capsules": [manifest()]})
    vma.hold({"held": [{"manifest": manifest("2.0.0"), "rms": ["rm-east-2"]}], "registry": url}, False)
    assert overview.overview(url)["hn"]["generation"] == before


@BOTH
def test_what_an_rm_holds_goes_with_it(url):
    rms.subscribe(url, "rm-east-1", {"capsules": [manifest()]})
    rms.unsubscribe(url, "rm-east-1")
    assert known(url) == ({}, [])


@BOTH
def test_the_database_itself_refuses_a_holder_that_there_is_not(url):
    for add in (lambda tx: capsules._add(tx, "rm-east-9", manifest()), lambda tx: capsules.replace(tx, "rm-east-9", [])):
        with pytest.raises(MeshError, match=r"(?i)cannot be used: .*foreign key constraint.*\."), registry.transaction(url) as tx:
            add(tx)


@BOTH
def test_a_look_at_a_domain_shows_its_capsules_only(url):
    rms.subscribe(url, "rm-east-1", {"capsules": [manifest(), manifest(domain="sub.example.com", name="mail")]})
    assert known(url, domain="example.com")[0] == {"shop 1.0.0": ["rm-east-1"]}
    assert known(url, instance="mail-1.sub.example.com")[0] == {"mail 1.0.0": ["rm-east-1"]}


@pytest.mark.parametrize(
    ("different", "sentence"),
    [
        ({"version": None}, "A capsule that an RM holds lacks version."),
        ({"domain": "../com"}, "'../com' is not"),
        ({"name": "Shop!"}, "'Shop!' is not"),
    ],
)
def test_what_cannot_be_meant(url, different, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        rms.subscribe(url, "rm-east-1", {"capsules": [manifest(**different)]})
    with pytest.raises(NotFound, match=r"rm-east-9 has not subscribed to hn-east \(vma_rm does that\)\."):
        vma.hold({"held": [{"manifest": manifest(), "rms": ["rm-east-1", "rm-east-9"]}], "registry": url}, False)
    assert known(url) == ({}, [])


def test_a_lost_registry_knows_again_when_rms_subscribe(make):
    """They have to before it can be rebuilt."""
    url = make(machines=("rm-east-1",), capsules=[manifest()])
    assert known(url) == ({"shop 1.0.0": ["rm-east-1"]}, ["rm-east-1"])
