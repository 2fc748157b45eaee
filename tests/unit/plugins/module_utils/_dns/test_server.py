# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Setting zones up on a real PowerDNS through its API."""

from __future__ import annotations

import itertools

import pytest
from name_servers import key, lookup

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import exchange, record_set, server
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.zone import Zone

numbers = itertools.count(1)


@pytest.fixture
def api(powerdns):
    return powerdns.api()


@pytest.fixture
def spec(tmp_path):
    """A zone that no other test has used, with a key of its own."""
    name = f"zone{next(numbers)}.test"
    return server.ZoneSpec(name, (f"ns1.{name}",), (key(tmp_path, f"owner-of-{name}"),))


def put(powerdns, spec, owner, address="192.0.2.1"):
    zone = Zone(spec.name, powerdns.endpoint, owner)
    return record_set.apply(zone, record_set.wish(zone, f"www.{spec.name}", "A", [address], 5), [powerdns.endpoint], 5.0)


def test_check_apply_check_apply(api, powerdns, spec):
    foreseen = server.present(api, spec, dry=True)
    assert foreseen.changed and foreseen.before["zone"] is None
    assert api.call("GET", f"/zones/{spec.name}.") is None
    done = server.present(api, spec)
    assert done.changed and done.after == foreseen.after
    for dry in (True, False):
        again = server.present(api, spec, dry)
        assert not again.changed and again.before == again.after == done.after
    assert put(powerdns, spec, spec.update_keys[0]).changed
    assert server.absent(api, spec.name, dry=True).changed and lookup(powerdns.endpoint, f"www.{spec.name}") == ["192.0.2.1"]
    assert server.absent(api, spec.name).changed
    assert not server.absent(api, spec.name).changed


def test_a_zone_that_was_asked_for_before_answers_at_once(api, powerdns, spec):
    assert lookup(powerdns.endpoint, f"www.{spec.name}") == []
    server.present(api, spec)
    put(powerdns, spec, spec.update_keys[0])
    assert lookup(powerdns.endpoint, f"www.{spec.name}") == ["192.0.2.1"]


def test_another_key_takes_over(api, powerdns, spec, tmp_path):
    server.present(api, spec)
    put(powerdns, spec, spec.update_keys[0])
    heir = key(tmp_path, f"heir-of-{spec.name}")
    assert server.present(api, spec._replace(update_keys=(heir,))).changed
    with pytest.raises(Refused, match="refused an update"):
        put(powerdns, spec, spec.update_keys[0], "192.0.2.2")
    assert put(powerdns, spec, heir, "192.0.2.2").changed


def test_a_new_secret_replaces_the_old_one(api, powerdns, spec, tmp_path):
    server.present(api, spec)
    (tmp_path / "new").mkdir()
    renewed = spec._replace(update_keys=(key(tmp_path / "new", spec.update_keys[0].name),))
    done = server.present(api, renewed)
    assert done.changed and done.before["keys"] == [] and done.before["zone"] == done.after["zone"]
    assert not server.present(api, renewed).changed
    with pytest.raises(Refused, match="another secret"):
        put(powerdns, spec, spec.update_keys[0])
    assert put(powerdns, renewed, renewed.update_keys[0]).changed


def test_without_a_key_nobody_changes_it(api, powerdns, spec):
    """The server takes unsigned updates of zones without keys; so the prefixes that may send any must be gone, too."""
    server.present(api, spec)
    closed = server.present(api, spec._replace(update_keys=()))
    assert closed.changed and closed.after["zone"]["update_from"] == []
    for owner in (None, spec.update_keys[0]):
        with pytest.raises(Refused, match="nothing was changed"):
            put(powerdns, spec, owner)


def test_changes_come_from_the_given_prefixes_only(api, powerdns, spec):
    server.present(api, spec._replace(update_from=("192.0.2.0/24",)))
    with pytest.raises(Refused, match="refused an update"):
        put(powerdns, spec, spec.update_keys[0])


def test_name_servers_follow(api, spec):
    server.present(api, spec)
    wanted = spec._replace(nameservers=("ns2.elsewhere.test", f"ns1.{spec.name}"))
    done = server.present(api, wanted)
    assert done.changed and done.after["zone"]["nameservers"] == [f"ns1.{spec.name}", "ns2.elsewhere.test"]
    assert not server.present(api, wanted).changed


def test_a_steering_zone_has_one_key(api, spec, tmp_path):
    both = spec._replace(update_keys=(*spec.update_keys, key(tmp_path, "customer-too")), steering=True)
    for wanted in (both, spec._replace(update_keys=(), steering=True)):
        with pytest.raises(InvalidInput, match="must have exactly one key"):
            server.present(api, wanted)
    assert api.call("GET", f"/zones/{spec.name}.") is None


def test_a_zone_that_was_open_to_others_never_becomes_a_steering_zone(api, spec, tmp_path):
    server.present(api, spec)
    platform = key(tmp_path, f"platform-for-{spec.name}")
    with pytest.raises(Refused, match="take another zone for steering"):
        server.present(api, spec._replace(update_keys=(platform,), steering=True))
    assert server.present(api, spec).changed is False


def test_steering_is_switched_on_and_off(api, powerdns, spec):
    assert server.present(api, spec._replace(steering=True)).changed
    assert not server.present(api, spec._replace(steering=True)).changed
    assert server.present(api, spec).changed
    assert not server.present(api, spec).changed


def test_no_secret_shows_and_none_is_an_argument_of_a_program(api, spec, powerdns, monkeypatch):
    real, called = server.run, []
    monkeypatch.setattr(server, "run", lambda argv: called.append(argv) or real(argv))
    done = server.present(api, spec._replace(steering=True))
    assert len(called) == 1 and spec.update_keys[0].secret not in str(called) and powerdns.API_KEY not in str(called)
    secret = spec.update_keys[0].secret
    assert secret not in repr(done) + repr(spec) + powerdns.log() and powerdns.API_KEY not in repr(api) + powerdns.log()


def test_what_is_wrong_gets_one_sentence(api, powerdns, spec, tmp_path):
    with pytest.raises(InvalidInput, match="no name servers"):
        server.present(api, spec._replace(nameservers=()))
    with pytest.raises(InvalidInput, match="not a prefix"):
        server.present(api, spec._replace(update_from=("everywhere",)))
    with pytest.raises(InvalidInput, match="not the API of a name server on this host"):
        server.Api("http://192.0.2.1:8081", "x")
    wrong = server.Api(f"http://127.0.0.1:{powerdns.api_port}", "not-the-key")
    with pytest.raises(CommandFailed, match="refused GET"):
        server.present(wrong, spec)
    with pytest.raises(CommandFailed, match="cannot be reached"):
        server.present(server.Api("http://127.0.0.1:9", "x"), spec)
    with pytest.raises(NotFound, match="cannot be read"):
        server.api_key(str(tmp_path / "missing"))
    (tmp_path / "empty").write_text("# nothing\n")
    with pytest.raises(NotFound, match="no line api-key"):
        server.api_key(str(tmp_path / "empty"))


def test_a_new_zone_lets_nobody_remember_for_long_that_a_name_is_not_there(powerdns):
    (soa,) = exchange.rdataset(powerdns.endpoint, "steer.test", "SOA")
    assert soa.minimum == 5
