"""The packaged inventory is the published one, read-only, and refuses to contradict itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from atlas_assets.errors import StimulusError
from atlas_assets.stages.prompts.stimuli import CATEGORIES, Stimuli, load_stimuli, parse_stimuli

PUBLISHED_SHA256 = "a29e4c2c93c2fcdcf37aab074b1b070e071ca4a94b570c0508ddaf9b8caac4f8"


@pytest.fixture(scope="module")
def document() -> str:
    file = resources.files("atlas_assets.stages.prompts") / "stimuli.json"
    return file.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def stimuli() -> Stimuli:
    return load_stimuli()


def test_the_packaged_file_is_the_published_one(document: str) -> None:
    assert hashlib.sha256(document.encode()).hexdigest() == PUBLISHED_SHA256


def test_the_packaged_file_equals_the_specification(document: str, shared: Path) -> None:
    assert document == (shared / "spec" / "stimuli.json").read_text(encoding="utf-8")


def test_inventory(stimuli: Stimuli) -> None:
    objects, checkers = stimuli.object_prompts, stimuli.checker_prompts
    assert len(objects.grid_ast_nodes) == 43
    assert len(objects.grid_builtins) == 63
    assert len(stimuli.concepts) == len(set(stimuli.concepts)) == 106
    assert stimuli.concepts[0] == "ast__AnnAssign"
    assert "builtin___isolated_" in stimuli.concepts
    assert tuple(objects.domains) == ("finance", "biology", "gaming", "physics", "ecommerce")
    assert objects.wrappers.weights == (0.4, 0.3, 0.3)
    assert len(checkers.keyword_map) == 58
    assert set(CATEGORIES) < set(checkers.snippets)
    assert "arXiv:2605.24603" in stimuli.source


def test_the_tables_are_read_once(stimuli: Stimuli) -> None:
    assert load_stimuli() is stimuli


def test_the_tables_are_read_only(stimuli: Stimuli) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        stimuli.object_prompts.seed = 7  # type: ignore[misc]
    with pytest.raises(TypeError, match="does not support item assignment"):
        stimuli.object_prompts.templates["For"]["any"] = "pass"  # type: ignore[index]
    with pytest.raises(TypeError, match="does not support item assignment"):
        stimuli.checker_prompts.keyword_map["ast__For"] = None  # type: ignore[index]


Edit = Callable[[dict[str, Any]], object]
OBJECTS, CHECKERS = "object_prompts", "checker_prompts"

#: what is broken → (how, what the message must say)
BROKEN: dict[str, tuple[Edit, str]] = {
    "table missing": (lambda d: d[OBJECTS].pop("domains"), "object_prompts.domains"),
    "unknown table": (lambda d: d.update(extra=1), "extra"),
    "wrong type": (lambda d: d[OBJECTS].update(seed="x"), "object_prompts.seed"),
    "no domain": (lambda d: d[OBJECTS].update(domains={}), "no domain"),
    "a domain without list data": (
        lambda d: d[OBJECTS]["domains"]["gaming"]["mock_data"].pop("list"),
        "mock_data for list",
    ),
    "a name some domain lacks": (
        lambda d: d[OBJECTS]["domains"]["gaming"]["var_names"].pop("method"),
        "names what is not there: method",
    ),
    "unknown placeholder": (
        lambda d: d[OBJECTS]["templates"]["For"].update(any="${nothing}"),
        "a template of For names what is not there: nothing",
    ),
    "unknown placeholder in an iterable line": (
        lambda d: d[OBJECTS]["iterable"].update(range="${iterable}"),
        "an iterable line names what is not there: iterable",
    ),
    "not a template": (
        lambda d: d[OBJECTS]["templates"]["For"].update(any="${"),
        "a template of For is not a template",
    ),
    "odd template kinds": (
        lambda d: d[OBJECTS]["templates"]["Try"].pop("other"),
        "template kinds of Try",
    ),
    "no line for other builtins": (lambda d: d[OBJECTS]["iterable"].pop("*"), "any builtin"),
    "weights do not match wrappers": (
        lambda d: d[OBJECTS]["wrappers"].update(weights=[0.5, 0.5]),
        "3 wrappers but 2 weights",
    ),
    "a weight of zero": (
        lambda d: d[OBJECTS]["wrappers"].update(weights=[0.5, 0.5, 0.0]),
        "wrappers.weights.2",
    ),
    "a wrapper without template": (
        lambda d: d[OBJECTS]["wrappers"]["templates"].pop("method"),
        "wrapper names and templates do not match: method",
    ),
    "a wrapper without body": (
        lambda d: d[OBJECTS]["wrappers"]["templates"].update({"global": "pass"}),
        "does not hold the body",
    ),
    "unknown family": (
        lambda d: d[OBJECTS]["compatibility"].update(iteration=["vegetables"]),
        "names what is not there: vegetables",
    ),
    "family without compatibility": (
        lambda d: d[OBJECTS]["compatibility"].pop("literal"),
        "do not match: literal",
    ),
    "a node in two families": (
        lambda d: d[OBJECTS]["ast_families"]["literal"].append("For"),
        "listed in two families",
    ),
    "a grid node without template": (
        lambda d: d[OBJECTS]["templates"].pop("Set"),
        "grid_ast_nodes names what is not there: Set",
    ),
    "a grid builtin of no family": (
        lambda d: d[OBJECTS]["grid_builtins"].append("spam"),
        "grid_builtins names what is not there: spam",
    ),
    "a keyword of no concept": (
        lambda d: d[CHECKERS]["keyword_map"].update(
            ast__Spam={"keyword": "spam", "forbidden_nodes": []}
        ),
        "keyword_map names what is not there: ast__Spam",
    ),
    "unknown forbidden node": (
        lambda d: d[CHECKERS]["keyword_map"]["ast__For"].update(forbidden_nodes=["Spam"]),
        "not AST node types: ['Spam']",
    ),
    "identifiers of no keyword": (
        lambda d: d[CHECKERS]["identifier_variants"].update(spam=["spammer"]),
        "identifier_variants names what is not there: spam",
    ),
    "a snippet bank missing": (
        lambda d: d[CHECKERS]["snippets"].pop("E_print"),
        "snippet banks do not match: E_print",
    ),
    "unknown placeholder in a snippet": (
        lambda d: d[CHECKERS]["snippets"].update(E_print=["${v3}"]),
        "a snippet of E_print names what is not there: v3",
    ),
    "a context without snippet": (
        lambda d: d[CHECKERS].update(context_wrappers=["x = 1"]),
        "does not hold one {snippet}",
    ),
    "too few words": (
        lambda d: d[CHECKERS].update(string_words=["a", "b"]),
        "checker_prompts.string_words",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_contradictions_are_named(fault: str, document: str) -> None:
    edit, message = BROKEN[fault]
    tables = json.loads(document)
    edit(tables)
    with pytest.raises(StimulusError) as raised:
        parse_stimuli(json.dumps(tables), where="mine.json")
    assert message in str(raised.value)
    assert "mine.json" in str(raised.value)
    assert "what to do" in str(raised.value)


def test_not_json() -> None:
    with pytest.raises(StimulusError, match="Invalid JSON"):
        parse_stimuli("{", where="mine.json")
