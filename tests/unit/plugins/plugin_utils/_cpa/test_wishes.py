# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator wishes for, read from variables."""

from __future__ import annotations

import importlib
import inspect
import pathlib

import pytest
import yaml

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import verbs, wishes

OPTIONS = {
    "scale_service": {"type": "str", "required": True, "aliases": ["service"], "description": ["The service, for example V(shop).", "It is a name."]},
    "scale_count": {"type": "int", "required": True, "aliases": ["count"], "description": ["How many instances shall run there."]},
    "scale_surplus": {
        "type": "str",
        "choices": ["suspended", "absent"],
        "default": "suspended",
        "aliases": ["surplus"],
        "description": "What becomes of them.",
    },
    "scale_timeout": {"type": "float", "default": 60, "description": "Seconds."},
    "scale_capsule": {"type": "str", "description": "The version."},
    "scale_clones": {"type": "list", "elements": "str", "aliases": ["clones"], "description": "Names."},
}
CLONES = ["shop-2.example.com", "shop-3.example.com"]
ROLES = pathlib.Path(__file__).resolve().parents[5] / "roles"
VERBS = sorted(path.stem for path in pathlib.Path(verbs.__path__[0]).glob("[a-z]*.py"))


def read(given, extra=None):
    return wishes.read("scale", OPTIONS, {"scale_service": "shop", "scale_count": 2, **given}, extra or {})


def test_what_is_said_is_read_and_all_else_is_as_usual():
    wish = read({"scale_capsule": "1.0.0"})
    assert wish.values == {"service": "shop", "count": 2, "surplus": "suspended", "timeout": 60.0, "capsule": "1.0.0", "clones": None}
    assert (wish.error, wish.renamed) == (None, {})


@pytest.mark.parametrize("nothing", ["", "  ", None, []])
def test_what_is_empty_is_not_said(nothing):
    wish = read({"scale_capsule": nothing, "scale_surplus": nothing, "scale_clones": nothing})
    assert (wish.values["capsule"], wish.values["surplus"], wish.values["clones"], wish.error) == (None, "suspended", None, None)
    missing = read({"scale_service": nothing})
    assert missing.error == "The variable scale_service is missing or empty: say it with -e scale_service=... (The service, for example shop)"
    assert missing.values == {}


def test_the_variable_that_is_missing_is_named():
    assert wishes.read("scale", OPTIONS, {"scale_service": "shop"}, {}).error == (
        "The variable scale_count is missing or empty: say it with -e scale_count=... (How many instances shall run there)"
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"scale_surplus": "gone"}, "Value of scale_surplus must be one of: suspended, absent, got: gone."),
        ({"scale_count": "many"}, "scale_count"),
        ({"scale_timeout": "soon"}, "scale_timeout"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(given, sentence):
    wish = read(given)
    assert sentence in wish.error and wish.error.endswith(".") and wish.error[0].isupper() and "\n" not in wish.error
    assert wish.values == {}


def test_numbers_come_as_text_from_surveys():
    assert (read({"scale_count": "3"}).values["count"], read({"scale_timeout": "1.5"}).values["timeout"]) == (3, 1.5)
    assert read({"scale_count": 0}).values["count"] == 0, "none is a number, too"


@pytest.mark.parametrize(
    "said", ["shop-2.example.com,shop-3.example.com", "shop-2.example.com , shop-3.example.com,", "shop-2.example.com\nshop-3.example.com\n", CLONES]
)
def test_lists_come_as_text_with_commas_or_lines(said):
    assert read({"scale_clones": said}).values["clones"] == CLONES


def test_one_is_a_list_of_one():
    assert read({"scale_clones": "shop-2.example.com"}).values["clones"] == ["shop-2.example.com"]


def test_former_names_do_on_the_command_line_and_are_told():
    wish = wishes.read("scale", OPTIONS, {}, {"service": "shop", "count": "2", "clones": "a,b"})
    assert (wish.error, wish.values["service"], wish.values["count"], wish.values["clones"]) == (None, "shop", 2, ["a", "b"])
    assert wish.renamed == {"service": "scale_service", "count": "scale_count", "clones": "scale_clones"}
    both = read({}, {"service": "mail", "surplus": ""})
    assert (both.values["service"], both.renamed) == ("shop", {}), "the name of its own wins, and nobody need be told"


def test_an_inventorys_variable_of_a_former_name_is_somebody_elses():
    wish = wishes.read("scale", OPTIONS, {"service": "shop", "scale_count": 1}, {})
    assert "scale_service is missing" in wish.error and wish.renamed == {}


def test_even_a_wish_that_cannot_be_says_which_names_were_renamed():
    assert wishes.read("scale", OPTIONS, {}, {"service": "shop"}).renamed == {"service": "scale_service"}
    assert wishes.read("scale", OPTIONS, {}, {"service": "shop", "count": "many"}).renamed == {"service": "scale_service", "count": "scale_count"}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_takes_what_its_role_describes(verb):
    options = yaml.safe_load((ROLES / verb / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    assert all(name.startswith(f"{verb}_") for name in options)
    values = {"str": "x", "int": "1", "float": "1", "list": "x", "bool": "yes"}
    given = {name: option.get("choices", [values[option["type"]]])[0] for name, option in options.items()}
    wish = wishes.read(verb, options, given, {})
    assert wish.error is None
    taken = inspect.signature(importlib.import_module(f"{verbs.__name__}.{verb}").plan)
    # Raises TypeError where one is missing, or one too many and not among how long it waits.
    waiting = set(taken.bind(None, None, **wish.values).arguments.get("waiting", {}))
    assert {name.replace("drain_", "") for name in waiting} in (set(), {"timeout", "at_deadline"}, {"timeout", "at_deadline", "patience"})
