# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guests' images, built once from one Debian root and cached; hosts see their directory as /srv/images."""

from __future__ import annotations

import os
import shutil
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, sha256_file, write_json

from vmatrix_lab import debian, places, root, tiny

_MARK = os.path.join(places.IMAGES, "made-of.json")


def build(document: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Make all images unless the cache has those that *document* and the recipes describe; returns {changed, images: [paths]}."""
    recipes = [debian.__file__, tiny.__file__, *sorted(os.path.join(parent, name) for parent, _directories, names in os.walk(tiny.SOURCE) for name in names)]
    base = root.digest(document["suite"], sorted(document["guest_packages"]), sha256_file(document["sources"]), debian.PRESEED)
    made_of = {"base": base, "recipes": root.digest([sha256_file(recipe) for recipe in recipes])}
    changed = read_json(_MARK) != made_of
    if changed and not check:
        _build(os.path.join(places.CACHE, f"guest-{base}"), document)
        write_json(_MARK, made_of)
    present = sorted(os.listdir(places.IMAGES)) if os.path.isdir(places.IMAGES) else []
    return {"changed": changed, "images": [os.path.join(places.IMAGES, name) for name in present if not name.endswith((".json", ".whl"))]}


def _build(base: str, document: dict[str, t.Any]) -> None:
    if not os.path.isdir(base):
        root.debootstrap(base, document["suite"], document["guest_packages"], document["sources"], lambda _new: None, preseed=debian.PRESEED)
        root.prune("guest-", base)
    new = os.path.join(places.CACHE, "images.new")
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    os.makedirs(places.IMAGES, exist_ok=True)
    tiny.build(base, new)
    debian.build(base, new)
    # Into the directory that hosts have mounted, one by one; an image in use keeps its old content.
    for name in sorted(os.listdir(new)):
        os.rename(os.path.join(new, name), os.path.join(places.IMAGES, name))
    os.rmdir(new)
