"""Columns and rules that the schemas of several tables share."""

from __future__ import annotations

import polars as pl

from atlas_assets.stages.concepts import KINDS
from atlas_assets.stages.schema import Column, Rule

_CONCEPT = r"^(ast|builtin|own)__.+$"
#: two shares that are each rounded to 4 decimals may miss their sum by this much
_ROUNDING = 1.01e-4


def count(name: str, description: str, minimum: int = 0) -> Column:
    """A column of whole numbers of at least ``minimum``."""
    return Column(name, pl.Int64(), description, minimum=minimum)


def share(name: str, description: str, *, nullable: bool = False) -> Column:
    """A column of numbers from 0 to 1."""
    return Column(name, pl.Float64(), description, nullable=nullable, minimum=0.0, maximum=1.0)


def mean(name: str, description: str, *, nullable: bool = False) -> Column:
    """A column of numbers of at least 0."""
    return Column(name, pl.Float64(), description, nullable=nullable, minimum=0.0)


def rank(name: str, description: str) -> Column:
    """A column of mean ranks, 1 the best; absent where nothing was ranked."""
    return Column(name, pl.Float64(), description, nullable=True, minimum=1.0)


def concept(name: str, description: str) -> Column:
    """A column of concepts, such as ``ast__{node}`` or ``builtin__{name}``."""
    return Column(name, pl.String(), description, pattern=_CONCEPT)


def text(name: str, description: str) -> Column:
    """A column of texts that are not empty."""
    return Column(name, pl.String(), description, pattern=r"(?s)^.+$")


def sum_of(total: str, *parts: str) -> Rule:
    """The rule that the columns ``parts`` sum to the column ``total``."""
    holds = pl.sum_horizontal(*parts) == pl.col(total)
    return Rule(f"{' + '.join(parts)} = {total}", (total, *parts), holds)


def shares_of(total: str, *shares: str) -> Rule:
    """The rule that the columns ``shares`` sum to 1, and are all 0 where ``total`` is 0."""
    whole = (pl.col(total) > 0).cast(pl.Float64)
    holds = (pl.sum_horizontal(*shares) - whole).abs() <= _ROUNDING
    return Rule(f"{' + '.join(shares)} = 1, or 0 where {total} is 0", (total, *shares), holds)


def ratio_of(share: str, part: str, whole: str) -> Rule:
    """The rule that ``share`` is ``part / whole``, and 0 where ``whole`` is 0."""
    ratio = pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole)).otherwise(0.0)
    holds = (pl.col(part) <= pl.col(whole)) & (pl.col(share) == ratio)
    return Rule(f"{share} = {part} / {whole}, 0 where {whole} is 0", (share, part, whole), holds)


def between(low: str, value: str, high: str) -> Rule:
    """The rule that ``value`` is between ``low`` and ``high``, both included."""
    holds = (pl.col(low) <= pl.col(value)) & (pl.col(value) <= pl.col(high))
    return Rule(f"{low} ≤ {value} ≤ {high}", (low, value, high), holds)


KIND = Column("type", pl.String(), "ast or builtin; own for own prompts", allowed=KINDS)
EPSILON = Column("epsilon", pl.Float64(), "ε: the mean |readout| a neuron must exceed", minimum=0)
CONSISTENCY = Column(
    "consistency",
    pl.Float64(),
    "C: the share of prompts on which a neuron must fire, in (0, 1]",
    minimum=0,
    maximum=1,
)
DEFINITION = text("definition", "definition of a circuit")
LAYER = count("layer", "layer, from 0")
KEYWORD = text("keyword", "the Python keyword or builtin name that stands for the concept")
VARIATION = count("variation_id", "number of the prompt within its unit, from 0")
PROMPT = text("prompt_text", "the prompt, Python source")
OWN_PAIR = (
    text("concept", "concept of the own prompts, without prefix"),
    text("unit", "unit of the concept: its universal mask is the intersection over them"),
)
OWN_PROMPT = (
    text("prompt_text", "the prompt, as the user's file has it"),
    Column("start", pl.Int64(), "first character of the concept in it", nullable=True, minimum=0),
    Column("end", pl.Int64(), "the character after its last", nullable=True, minimum=1),
)
