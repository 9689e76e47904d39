"""What an artifact is: the one declaration that everything about it is derived from.

A stage's module computes a thing in plain functions and ends with its `Artifact`. From that follow
the Dagster asset, its file and format, the checks that recompute it, and its entries in report,
dataset card and documentation. `atlas_assets.stages.catalog` lists them all.
"""

from __future__ import annotations

import hashlib
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from atlas_assets.stages.schema import TableSchema
from atlas_assets.stages.setting import Partition, PartitionSpace, Setting

if TYPE_CHECKING:
    from atlas_assets.stages.check import Check
    from atlas_assets.stages.making import Making
    from atlas_assets.stages.report.table import Table

Group = Literal[
    "stage_11_prompts",
    "stage_12_activations",
    "stage_13_masks",
    "stage_14_decomposition",
    "stage_15_downstream",
    "stage_16_figures",
    "stage_17_report",
]
Kind = Literal["hdf5", "parquet", "csv", "png", "html", "markdown"]
#: the value of a setting that is part of a version
Parameter = int | float | str | tuple[str, ...] | tuple[float, ...] | None
Parameters = Mapping[str, Parameter]

_KINDS: Mapping[str, Kind] = {
    ".h5": "hdf5",
    ".parquet": "parquet",
    ".csv": "csv",
    ".png": "png",
    ".html": "html",
    ".md": "markdown",
}
#: what stands in a file name for the file tag of a partition
_TAG = "{tag}"
#: characters of a list that is spelled out in a version
_LONGEST_LIST = 40


class Layout(Enum):
    """What a file that is no table holds; the value says what `Artifact.compute` returns."""

    PAIR_ACTIVATIONS = "Activations, a unit per pair"
    CONCEPT_ACTIVATIONS = "Activations, a unit per testable concept"
    OBJECT_MASKS = "ObjectMasks: pair masks and universal masks at one setting"
    CHECKER_MASKS = "CheckerMasks: masks of the keywords at one setting"
    UNIVERSAL_MASKS = "Masks: the universal masks at the artifact's setting"
    JACCARD_MATRICES = "JaccardMatrices at the artifact's setting"
    FIGURE = "Drawing: PNG and PDF"
    TEXT = "str: a document in UTF-8"


#: what is made with what besides the network, as Dagster's UI shows it
_TOOLS: Mapping[Layout, tuple[str, ...]] = {
    Layout.OBJECT_MASKS: ("numpy",),
    Layout.CHECKER_MASKS: ("numpy",),
    Layout.UNIVERSAL_MASKS: ("numpy",),
    Layout.JACCARD_MATRICES: ("numpy",),
    Layout.FIGURE: ("matplotlib",),
}


class Needs(Enum):
    """What of the prompts an artifact is about; the value says why it is not applicable without."""

    PROMPTS = "the prompts themselves"
    CHECKERS = "the own prompts hold no checker prompts"
    KEYWORDS = "own prompts have no keywords"
    GRID = "own prompts have no pairs of an AST node and a builtin, in several subject areas"


class Model(Enum):
    """The part of the model that an artifact is computed with."""

    NOTHING = "nothing: the artifact follows from its inputs"
    TOKENIZER = "the tokenizer"
    NETWORK = "the network, on its device"


@dataclass(frozen=True)
class Entry:
    """A table of the report that shows an artifact.

    Attributes:
        section: The part of the report that the table stands in.
        table: Makes the table from the artifact's value, and from that of ``beside`` where an
            artifact is named there (``None`` if that is not there).
        sentence: Makes a sentence that ends the section's introduction instead.
        beside: The key of another artifact that the table shows as well.
        rank: The place in the section; entries of equal rank are in the order of the catalogue.
        setting: The setting that is shown, where the artifact has one file per setting.
        setting_of: The key of the artifact whose record names the setting that the table speaks
            of, where that is not the artifact shown.
    """

    section: str
    table: Callable[..., Table] | None = None
    sentence: Callable[[Any], str] | None = None
    beside: str | None = None
    rank: int = 0
    setting: Setting | None = None
    setting_of: str | None = None


@dataclass(frozen=True)
class Artifact:
    """One kind of file of an atlas, and how it is made.

    Attributes:
        key: The asset key.
        title: A few words that head the artifact's entry in report and documentation.
        filename: The published name; ``{tag}`` stands for the file tag of the partition
            (``eps0.5_cons0.8``).
        content: The columns of a table, or the layout of another file.
        description: What the artifact is, with the formula.
        compute: Makes the value, once per partition; raises `making.NotInSweepError` where the
            sweep lacks what it needs.
        group: The asset group; by default that of everything after the published tables.
        inputs: The artifacts that it is computed from.
        partitions: The space of which the artifact has a file for each partition; ``None``: it is
            one file.
        code_version: Changes when the same inputs would give another content.
        model: What of the model it is computed with.
        setting: The only (ε, C) that it speaks of, where it is always the same one; of an input
            with one file per setting, it reads that one.
        at_token_checker: Whether it speaks of the token checker's setting instead.
        completes: Partitioned artifacts whose missing or stale partitions are made before it.
        parts: The only part of an input's files that is read, by input.
        parameters: Settings that change its content and that of nothing before it, with their
            defaults; they are part of its version.
        departures: Likewise, but named in its version only where they depart from the default.
        departures_of: Likewise, but of one partition alone, by its partition key.
        of_own: The description in an atlas of own prompts, where it is another one.
        needs: What of the prompts it is about; where the inventory lacks that, it is not made.
        on_demand: Whether the job ``atlas`` leaves it out, and an atlas without it lacks nothing.
        inputs_may_be_absent: Whether it is made from whatever of its inputs is there.
        tools: Further libraries that Dagster's UI shows as kinds, besides what the content implies.
        checks: What must hold of it, besides its schema, before anything is computed from it.
        entries: The tables of the report that show it.
    """

    key: str
    title: str
    filename: str
    content: TableSchema | Layout
    description: str
    compute: Callable[[Making], Any]
    group: Group = "stage_15_downstream"
    inputs: tuple[str, ...] = ()
    partitions: PartitionSpace | None = None
    code_version: str = "1"
    model: Model = Model.NOTHING
    setting: Setting | None = None
    at_token_checker: bool = False
    completes: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    parameters: Parameters = field(default_factory=dict)
    departures: Parameters = field(default_factory=dict)
    departures_of: Mapping[str, Parameters] = field(default_factory=dict)
    of_own: str = ""
    needs: Needs = Needs.PROMPTS
    on_demand: bool = False
    inputs_may_be_absent: bool = False
    tools: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def kind(self) -> Kind:
        """The kind of the file, from the ending of its name."""
        return _KINDS[PurePath(self.filename).suffix]

    def described(self, own: bool) -> str:
        """Return the description, in an atlas of own prompts or of the paper's."""
        return (own and self.of_own) or self.description

    @property
    def partitioned(self) -> bool:
        """Whether the artifact has one file per partition."""
        return self.partitions is not None

    @property
    def schema(self) -> TableSchema | None:
        """The declared columns, where the artifact is a table."""
        return self.content if isinstance(self.content, TableSchema) else None

    @property
    def runs_model(self) -> bool:
        """Whether the model, or its tokenizer, takes part in making the artifact."""
        return self.model is not Model.NOTHING

    @property
    def kinds(self) -> frozenset[str]:
        """The kind of file and the libraries that take part, as Dagster's UI shows them."""
        made_with = (
            _TOOLS.get(self.content, ()) if isinstance(self.content, Layout) else ("polars",)
        )
        network = ("pytorch",) if self.model is Model.NETWORK else ()
        return frozenset((self.kind, *made_with, *network, *self.tools))

    @property
    def may_be_skipped(self) -> bool:
        """Whether the artifact is not made in a sweep that lacks the setting it speaks of."""
        return self.setting is not None or self.at_token_checker

    def file_name(self, partition: Partition | None = None) -> str:
        """Return the published file name; of a partition, where there is one file for each.

        A partition that is needed and not given, or the other way round, is a ValueError.
        """
        if self.partitioned != (partition is not None):
            needs = "a partition" if self.partitioned else "no partition"
            raise ValueError(f"{self.key} takes {needs}; got {partition}")
        return self.filename.format(tag=partition.file_tag) if partition else self.filename

    def partition_named(self, key: str) -> Partition:
        """Return the partition that a partition key of Dagster's names.

        Another text is a SettingsError; of an artifact without partitions, any is a ValueError.
        """
        if self.partitions is None:
            raise ValueError(f"{self.key} has no partitions; got {key}")
        return self.partitions.of_key(key)

    def partition_of(self, name: str) -> tuple[bool, Partition | None]:
        """Return whether ``name`` is a file of this artifact, and of which partition."""
        if self.partitions is None:
            return name == self.filename, None
        before, _, after = self.filename.partition(_TAG)
        partition = self.partitions.of_file_tag(name.removeprefix(before).removesuffix(after))
        # a partition has one spelling only, else two files could claim to be the same partition
        is_its_file = partition is not None and self.file_name(partition) == name
        return is_its_file, partition if is_its_file else None

    def version(self, parameters: Parameters, partition: Partition | None = None) -> str:
        """Return the code version with the parameters in force, such as ``1+permutations=200``.

        A parameter that is absent has its default. Without a partition, it is the version of all.
        """
        one = partition and partition.partition_key
        of_partitions = (of for key, of in self.departures_of.items() if one in (None, key))
        in_force = {name: parameters.get(name, self.parameters[name]) for name in self.parameters}
        for name, default in ChainMap(dict(self.departures), *map(dict, of_partitions)).items():
            if parameters.get(name, default) != default:
                in_force[name] = parameters[name]
        named = (f"{name}={_spelled(value)}" for name, value in sorted(in_force.items()))
        return "+".join([self.code_version, *named])


def _spelled(value: Parameter) -> str:
    """Return the text of a value in a version; of a long list, its length and a digest."""
    if not isinstance(value, tuple):
        return str(value)
    text = ",".join(map(str, value))
    if len(text) <= _LONGEST_LIST:
        return text
    return f"{len(value)}:{hashlib.sha256(text.encode()).hexdigest()[:8]}"
