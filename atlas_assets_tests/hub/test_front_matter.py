"""The YAML at the head of a card: our keys are replaced, everything else stays byte for byte."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError
from atlas_assets.hub.front_matter import edited, split

OWNED = {"configs": [{"config_name": "summary", "default": True}], "dataset_info": [{"a": 1}]}
DEFAULTS = {"license": "apache-2.0", "tags": ["circuits"]}


def card(text: str, owned: dict | None = None, defaults: dict | None = None) -> str:
    front, body = split(text)
    owned = OWNED if owned is None else owned
    return edited(front, owned, defaults or {}, where="card") + body


def matter_of(text: str) -> dict:
    return next(yaml.safe_load_all(split(text)[0]))


def test_a_card_without_front_matter_gets_one() -> None:
    text = card("Some words.\n", defaults=DEFAULTS)
    assert text.startswith("---\nlicense: apache-2.0\n") and text.endswith("---\nSome words.\n")
    assert matter_of(text) == {**DEFAULTS, **OWNED}


@pytest.mark.parametrize(
    "foreign",
    [
        "license: mit\n",
        "license: mit # with a comment\n\n# and another\nlanguage:\n- en\n- de\n",
        "'quoted key': 'a: b'\n\"other\": >\n  folded\n\n  text\n",
        "mine:\n  configs: not ours\n",
        "ключ: значение\nlist: [1,\n  2]\n",
        "license: mit\r\ntags:\r\n- a\r\n",
        "a: &a [1, 2]\nb: *a\n",
    ],
)
def test_what_others_wrote_stays_byte_for_byte(foreign: str) -> None:
    old = "configs:\n- config_name: old\n  data_files: x.csv\n"
    for matter in (foreign + old, old + foreign, foreign):
        text = card(f"---\n{matter}---\nBody.\n")
        assert foreign in text and text.endswith("---\nBody.\n")
        assert matter_of(text) == {**yaml.safe_load(foreign), **OWNED}
        assert card(text) == text


def test_defaults_replace_nothing_and_keys_of_ours_go_where_there_is_nothing_to_say() -> None:
    text = card("---\nlicense: mit\n---\n", defaults=DEFAULTS)
    assert matter_of(text) == {"license": "mit", "tags": ["circuits"], **OWNED}
    assert card("Some words.\n", owned={"configs": None}) == "Some words.\n"
    text = card("---\na: 1\nconfigs:\n- x: 1\nb: 2\n---\n", owned={"configs": None})
    assert text == "---\na: 1\nb: 2\n---\n"


# how fast a busy machine is must not decide
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=6),
        st.one_of(st.integers(), st.text(max_size=20), st.lists(st.text(max_size=5), max_size=3)),
        max_size=5,
    ),
    st.text(max_size=40),
)
def test_any_mapping_survives(foreign: dict, body: str) -> None:
    foreign = {key: value for key, value in foreign.items() if key not in OWNED}
    matter = yaml.safe_dump(foreign, allow_unicode=True) if foreign else ""
    text = card(f"---\n{matter}---\n{body}")
    assert matter_of(text) == {**(yaml.safe_load(matter) or {}), **OWNED}
    assert matter in text and text.endswith(body)


_BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "matter",
    {
        "no YAML": "a: [1\n",
        "a number without digits": "a: !!int ''\n",
        "a list": "- a\n- b\n",
        "keys that share a line": "{license: mit, configs: [1]}\n",
        "a key that is no line": "? configs\n: [1]\n",
        "others refer to what is ours": "configs: &x [1]\nb: *x\n",
        "aliases that multiply": _BOMB,
        "itself": "a: &a [*a]\n",
        "very deep": f"a: {'[' * 5000}{']' * 5000}\n",
        "deep": f"a: {'[' * 100}{']' * 100}\n",
        "no date": "a: 2026-99-99\n",
        "long number": f"a: {'9' * 5000}\n",
    }.items(),
    ids=lambda matter: matter[0],
)
def test_front_matter_that_cannot_be_edited_safely_is_refused(matter: tuple[str, str]) -> None:
    with pytest.raises(ArtifactError, match="without risk to what others wrote") as refused:
        card(f"---\n{matter[1]}---\nBody.\n")
    assert refused.value.where == "card"
