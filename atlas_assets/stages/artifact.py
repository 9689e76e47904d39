"""What the catalogue says of one kind of file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from atlas_assets.stages.schema import TableSchema
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.codec import Codec, Kind

Group = Literal[
    "stage_11_prompts",
    "stage_12_activations",
    "stage_13_masks",
    "stage_14_decomposition",
    "stage_15_downstream",
    "stage_16_figures",
    "stage_17_report",
]
#: the value of a setting that is part of a version
Parameter = int | float | str | tuple[str, ...] | tuple[float, ...] | None
Parameters = Mapping[str, Parameter]

#: characters of a list that is spelled out in a version
_LONGEST_LIST = 40


@dataclass(frozen=True)
class Artifact:
    """One kind of file.

    Attributes:
        key: asset key.
        filename: published name; ``{tag}`` stands for ``eps0.5_cons0.8``.
        format: reads and writes the file.
        group: asset group.
        description: what it is, with the formula.
        inputs: artifacts it is computed from.
        code_version: changes when the same inputs would give another content.
        runs_model: whether the model itself is run to make it.
        setting: the only (ε, C) it speaks of, where it is always the same one; of an input with
            one file per setting, it reads that one.
        parameters: settings that change its content and that of nothing before it, with their
            defaults; they are part of its version.
        departures: likewise, but named in its version only where they depart from the default.
        inputs_may_be_absent: whether it is made from whatever of its inputs is there.
    """

    key: str
    filename: str
    format: Codec[Any]
    group: Group
    description: str
    inputs: tuple[str, ...] = ()
    code_version: str = "1"
    runs_model: bool = False
    setting: Setting | None = None
    parameters: Parameters = field(default_factory=dict)
    departures: Parameters = field(default_factory=dict)
    inputs_may_be_absent: bool = False

    @property
    def kind(self) -> Kind:
        """Of the file."""
        return self.format.kind

    @property
    def partitioned(self) -> bool:
        """Whether there is one file per setting of the sweep."""
        return "{tag}" in self.filename

    @property
    def schema(self) -> TableSchema | None:
        """Declared columns, where the artifact is a table."""
        schema = getattr(self.format, "schema", None)
        return schema if isinstance(schema, TableSchema) else None

    def file_name(self, setting: Setting | None = None) -> str:
        """The published file name, at ``setting`` where there is one file per setting.

        Raises:
            ValueError: a setting is needed and not given, or the other way round.
        """
        if self.partitioned != (setting is not None):
            needs = "a setting" if self.partitioned else "no setting"
            raise ValueError(f"{self.key} takes {needs}; got {setting}")
        return self.filename.format(tag=setting.file_tag) if setting else self.filename

    def version(self, parameters: Parameters) -> str:
        """The code version with the parameters in force: ``1``, or ``1+permutations=200``.

        Args:
            parameters: name → value; what is absent has its default.
        """
        in_force = {name: parameters.get(name, self.parameters[name]) for name in self.parameters}
        for name, default in self.departures.items():
            if parameters.get(name, default) != default:
                in_force[name] = parameters[name]
        named = (f"{name}={_spelled(value)}" for name, value in sorted(in_force.items()))
        return "+".join([self.code_version, *named])


def _spelled(value: Parameter) -> str:
    """A value in a version; a long list is shown by how many it has and a digest."""
    if not isinstance(value, tuple):
        return str(value)
    text = ",".join(map(str, value))
    if len(text) <= _LONGEST_LIST:
        return text
    return f"{len(value)}:{hashlib.sha256(text.encode()).hexdigest()[:8]}"
