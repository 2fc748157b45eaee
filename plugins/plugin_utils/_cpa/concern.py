# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Whom an operation asks before it is planned, and for what. Pure functions.

VMAs know what their RMs hold. So only those RMs are asked that the operation may use: whether they answer, and whether they really hold it. Each verb whose
plan depends on that says in its C(concerned) which these are.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.manifest import requirements
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import hearing
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.choice import Order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

#: How many of those that hold a capsule are asked: one is enough, if it is there and the capsule is whole.
HOLDERS = 3


class Capsule(t.NamedTuple):
    """A capsule, or with no C(version) all of a service."""

    domain: str
    name: str
    version: str | None


class Concern(t.NamedTuple):
    """The RMs that are asked, and for what.

    Attributes:
        rms: their names.
        capsules: which capsules they hold.
        holdings: whether they are also asked which instances they hold.
    """

    rms: tuple[str, ...] = ()
    capsules: tuple[Capsule, ...] = ()
    holdings: bool = False

    def calls(self) -> list[dict[str, t.Any]]:
        """Return what each of the RMs is asked, as the action plugin C(stage) takes it."""
        held = [
            {"ids": [" ".join(filter(None, capsule))], "call": "capsules", "arguments": {key: value for key, value in capsule._asdict().items() if value}}
            for capsule in self.capsules
        ]
        return [*held, {"call": "holdings", "ids": ["holdings"], "arguments": {}}] if self.holdings else held


def of(verb: t.Any, view: View, wish: t.Mapping[str, t.Any]) -> Concern:
    """Return whom a verb asks for what is wished; nobody where its plan needs nothing of RMs, or will say what is wrong with the wish.

    Args:
        verb: its planner.
        view: what the VMAs said.
        wish: what is wished for, by the names that C(plan) of the verb takes.
    """
    if not hasattr(verb, "concerned"):
        return Concern()
    try:
        concern: Concern = verb.concerned(view, **wish)
    except MeshError:
        return Concern()
    unheard = hearing.unheard(view)
    return concern._replace(rms=tuple(dict.fromkeys((*concern.rms, *unheard))), holdings=True) if unheard else concern


def asking(view: View, site: Site, capsules: t.Iterable[Capsule], rms: t.Iterable[str | None]) -> Concern:
    """Return that *rms* are asked for *capsules*, and with them some that hold those.

    Args:
        view: what the VMAs said.
        site: the HN where they are needed; holders in it come first.
        capsules: what is needed.
        rms: who is asked in any case; None is nobody.
    """
    wanted = tuple(dict.fromkeys(capsules))
    if not wanted:
        return Concern()
    holders = [rm for capsule in wanted for rm in some_holders(view, site, capsule)]
    return Concern(tuple(dict.fromkeys(rm for rm in (*rms, *holders, *_unlisted(view)) if rm)), wanted)


def known(view: View, capsule: Capsule) -> dict[str, t.Any] | None:
    """Return the manifest of a capsule that some RM holds, as its VMA was told; None if no VMA was."""
    return next((each["manifest"] for site in view.sites.values() for each in site.held if _is(each["manifest"], capsule)), None)


def order(view: View, capsule: Capsule) -> list[Order]:
    """Return what an instance of a capsule is placed by, one order or none if nobody knows the capsule."""
    manifest = known(view, capsule)
    return [] if manifest is None else [Order(requirements(manifest))]


def holders(view: View, capsule: Capsule) -> dict[str, list[str]]:
    """Return the RMs that hold a capsule, as the VMA of each HN was told, by HN."""
    return {site.name: sorted({rm for each in site.held if _is(each["manifest"], capsule) for rm in each["rms"]}) for site in view.sites.values()}


def some_holders(view: View, site: Site, capsule: Capsule) -> list[str]:
    """Return so many holders of a capsule as are asked: of the HN first, but if there are others not all from one HN."""
    found = holders(view, capsule)
    here = found.pop(site.name, [])
    elsewhere = [rm for hn in sorted(found) for rm in found[hn]]
    near = here[: HOLDERS - 1] if elsewhere else here[:HOLDERS]
    return [*near, *elsewhere[: HOLDERS - len(near)]]


def _unlisted(view: View) -> list[str]:
    """Return the RMs that have not told what they hold, as in a registry that is older than that: they may hold anything."""
    return [rm["name"] for site in view.sites.values() for rm in site.rms if not rm["listed"]]


def _is(manifest: t.Mapping[str, t.Any], capsule: Capsule) -> bool:
    return (manifest["domain"], manifest["name"]) == capsule[:2] and capsule.version in (None, manifest["version"])
