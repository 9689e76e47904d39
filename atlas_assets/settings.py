"""Every setting of an atlas, with its environment name, default and meaning.

Read once, where the definitions or the command line start (`AtlasSettings.from_env`), and passed
down; nothing else in the package reads the environment. The names are ``ATLAS_`` plus the field's
name in capitals; lists are comma-separated.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from atlas_assets import setting_values as values
from atlas_assets.errors import SettingsError
from atlas_assets.files.digests import file_digest, short_digest, with_digest
from atlas_assets.files.remote import without_secrets
from atlas_assets.stages.setting import (
    PUBLISHED_CONSISTENCIES,
    PUBLISHED_EPSILONS,
    REFERENCE,
    Setting,
    grid,
    naming_values,
)

if TYPE_CHECKING:
    from atlas_assets.stages.artifact import Parameter

PREFIX = "ATLAS_"
#: where the paper's frozen files are published, as the dataset card says
DEFAULT_SOURCE = "piotrwilam/CSP-Atlas"
#: characters of a folder's name, at most
LONGEST_NAME = 200
#: what is counted has at most this number
_MOST = 10**9
_REPO_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"
Readout = Literal["last_token", "published"]
Site = Literal["mlp_out", "mlp_contribution", "mlp_neurons", "attn_out", "resid_post"]
Dtype = Literal["float32", "float16", "bfloat16"]
Bos = Literal["auto", "always", "never"]

_log = logging.getLogger(__name__)


class AtlasSettings(BaseModel):
    """The settings of one atlas: what it is made of and where it is. Immutable.

    A value out of range is a SettingsError of `from_env` and `build`, whose message names the
    environment variable, what it may be and what was found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    data_dir: values.DataFolder = Field(
        default="data", description="folder (or fsspec URL) that holds the atlases"
    )
    work_dir: values.WorkFolder | None = Field(
        default=None,
        min_length=1,
        description="folder on this machine for unfinished work, from which a run goes on after a "
        "kill; default: `.work` in the atlas's folder, or the user's cache folder where that is "
        "not on a disk of this machine",
    )
    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=LONGEST_NAME,
        description="folder of this atlas under the data dir; default: a slug of the repository it "
        "is fetched from and of the model (and of whatever else departs from the defaults, so that "
        "two atlases never mix)",
    )
    model: values.ReadablePath = Field(
        default="embedded",
        min_length=1,
        description="`embedded`, a folder with a checkpoint, or a Hub id; a folder of checkpoints' "
        "folders is a series, with an atlas of each",
    )
    model_revision: str | None = Field(
        default=None,
        description="branch, tag or sha of a Hub model, or several with commas between them, which "
        "are a series; default: its main branch",
    )
    readout: Readout = Field(
        default="last_token",
        description="`last_token`: the last real token of each prompt (the card's definition); "
        "`published`: the padded position that the release read when it made the frozen files",
    )
    site: Site = Field(
        default="mlp_out",
        description="what is read in each block: `mlp_out` (the paper's), what its MLP gives; "
        "`mlp_contribution`, that as it is added to the residual stream; `mlp_neurons`, what goes "
        "into the MLP's down projection; `attn_out`, what its attention gives; `resid_post`, the "
        "residual stream after it",
    )
    bos: Bos = Field(
        default="auto",
        description="whether prompts begin with the beginning-of-sequence token: `auto` (as the "
        "tokenizer's post-processor does), `always`, `never`; circuitgpt has none",
    )
    mlp: values.Names | None = Field(
        default=None,
        min_length=1,
        description="names of the modules that make up a block's MLP, * for the layer "
        "(`model.layers.*.mlp`); the outputs of several are added up; default: found by name",
    )
    epsilons: values.Numbers = Field(
        default=PUBLISHED_EPSILONS, min_length=1, description="ε values of the sweep, each ≥ 0"
    )
    consistencies: values.Numbers = Field(
        default=PUBLISHED_CONSISTENCIES,
        min_length=1,
        description="C values of the sweep, in (0, 1]",
    )
    token_checker_setting: values.Couple = Field(
        default=(REFERENCE.epsilon, REFERENCE.consistency),
        description="ε,C of token_checker_masks (the card says 0.5,0.8; the release's notebook "
        "0.001,0.8)",
    )
    device: str = Field(
        default="auto", description="`auto` (a GPU when there is one), `cpu`, `cuda`, `cuda:1`"
    )
    dtype: Dtype = Field(default="float32", description="precision of the model's weights")
    engine: values.Scheduler | None = Field(
        default=None,
        min_length=1,
        description="scheduler of dask.distributed whose workers run the prompts: its address "
        "(`tcp://host:8786`) or its scheduler file (docs/cluster.md); default: threads of this "
        "process",
    )
    executor: Literal["in_process", "multiprocess"] = Field(
        default="in_process",
        description="where Dagster runs the steps of a job: `in_process`, all in the run's own "
        "process; `multiprocess`, each in one of its own (docs/dagster.md)",
    )
    batch_tokens: int | None = Field(
        default=None,
        ge=1,
        le=_MOST,
        description="prefixes (or tokens, padding included) per forward pass; "
        "default: suited to the device",
    )
    prefix_tree: bool = Field(
        default=True,
        description="whether prompts run on the tree of their prefixes, where the model gives the "
        "same there; otherwise, and with `false`, in padded batches",
    )
    loss_threshold: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="a pair whose mean loss (nats) exceeds it is dropped; default: the "
        "model's own value in its config; else 3.0 with the paper's vocabulary, and no filter",
    )
    stimuli: values.PromptsFile | None = Field(
        default=None,
        min_length=1,
        description="file with own prompts and concepts (parquet, CSV or JSON lines: "
        "docs/own_prompts.md); default: the paper's",
    )
    ast_nodes: values.Names | None = Field(
        default=None, min_length=1, description="only these AST nodes (a quick look)"
    )
    builtins: values.Names | None = Field(
        default=None, min_length=1, description="only these builtins (a quick look)"
    )
    variations: int = Field(
        default=50,
        ge=1,
        le=_MOST,
        description="prompts per pair: the first of the published 50; more is another draw",
    )
    permutations: int = Field(
        default=200,
        ge=1,
        le=_MOST,
        description="randomised circuits per layer in modularity_null; the smallest p-value "
        "is 1 / (1 + permutations)",
    )
    circuits: values.CircuitsFile | None = Field(
        default=None,
        min_length=1,
        description="a parquet file `concept, layer, neuron` with circuits of one's own, which are "
        "judged like the others; default: none",
    )
    ablation: Literal["mean", "zero"] = Field(
        default="mean",
        description="what ablated readouts are put to: their `mean` over tokens, or `zero`",
    )
    hub_source: str | None = Field(
        default=None,
        pattern=_REPO_ID,
        description="dataset repository (owner/name) that missing files are fetched from; "
        f"default: none, and {DEFAULT_SOURCE} for `atlas fetch`",
    )
    hub_source_revision: str | None = Field(
        default=None,
        min_length=1,
        description="branch, tag or sha of it; default: its main branch",
    )
    hub_target: str | None = Field(
        default=None,
        pattern=_REPO_ID,
        description="dataset repository (owner/name) that is published to; default: none, and "
        "publishing is off",
    )
    hub_private: bool = Field(
        default=False,
        description="whether a target repository that is not there is made private",
    )
    model_poll_cron: str = Field(
        default="0 6 * * *",
        min_length=1,
        description="cron schedule on which the model's head is looked up",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_plain(cls, value: Any) -> Any:
        return values.plain(value)

    @model_validator(mode="after")
    def _in_range(self) -> AtlasSettings:
        grid(self.epsilons, self.consistencies)
        checker = env_name("token_checker_setting")
        with naming_values(checker, checker):
            Setting(*self.token_checker_setting)
        fields = type(self).model_fields
        cut = [
            env_name(name)
            for name in ("ast_nodes", "builtins", "variations")
            if getattr(self, name) != fields[name].default
        ]
        if self.stimuli is not None and cut:
            told = f"{' and '.join(cut)} cut the paper's prompts, and ATLAS_STIMULI names others"
            raise ValueError(told)
        return self

    @classmethod
    def build(cls, **given: Any) -> AtlasSettings:
        """Make settings from Python values by field; errors name the variable of a field."""
        try:
            return cls(**given)
        except ValidationError as error:
            raise _explain(error) from None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> AtlasSettings:
        """Read settings from ``ATLAS_*`` variables (default: the process's environment).

        An empty variable counts as unset. A variable that begins with ``ATLAS_`` and is no setting
        is ignored, with a warning in the log that names the nearest setting.
        """
        environ = os.environ if environ is None else environ
        given = {key: value for key, value in environ.items() if key.startswith(PREFIX) and value}
        _warn_of_decimal_commas(given)
        known = {env_name(field): field for field in cls.model_fields}
        for key in sorted(given.keys() - known.keys()):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            _log.warning("%s is no setting of an atlas and is ignored%s", key, hint)
        return cls.build(**{known[key]: given[key] for key in given.keys() & known.keys()})

    @property
    def atlas_name(self) -> str:
        """The name of the atlas's folder under the data dir: ``name``, or one made of the rest."""
        return self.name or _slug(self)

    @property
    def read_at(self) -> str:
        """Where prompts are read: the readout, and the site where it is not the paper's."""
        return self.readout if self.site == "mlp_out" else f"{self.readout} at {self.site}"

    @property
    def sweep(self) -> tuple[Setting, ...]:
        """Every (ε, C) setting of the sweep, in ascending order of ε, then of C."""
        return grid(self.epsilons, self.consistencies)

    @property
    def work_folder(self) -> Path | None:
        """The folder for unfinished work, where one is set."""
        return Path(self.work_dir).absolute() if self.work_dir else None

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Settings that change the content of some artifacts, by name.

        An artifact's version holds those that it declares (`Artifact.parameters` and
        `Artifact.departures`). Readout, site and precision are not among them: they are part of the
        version of the model.
        """
        return {
            "permutations": self.permutations,
            "ablation": self.ablation,
            "circuits": self.circuits and file_digest(self.circuits),
            "ast_nodes": self.ast_nodes,
            "builtins": self.builtins,
            "variations": self.variations,
            "loss_threshold": self.loss_threshold,
            "token_checker_setting": self.token_checker_setting,
            "epsilons": tuple(sorted(set(self.epsilons))),
            "consistencies": tuple(sorted(set(self.consistencies))),
        }

    @property
    def token_checker(self) -> Setting:
        """The (ε, C) setting of the artifact ``token_checker_masks``."""
        return Setting(*self.token_checker_setting)


def _warn_of_decimal_commas(given: Mapping[str, str]) -> None:
    """Warns where a list of numbers looks as if commas were meant as decimal points."""
    for key in ("ATLAS_EPSILONS", "ATLAS_CONSISTENCIES"):
        parts = [part.strip() for part in given.get(key, "").split(",") if part.strip()]
        beyond = any(part.isdecimal() and int(part[:9]) > 0 for part in parts)
        if len(set(parts)) < len(parts) or ("0" in parts and beyond):
            _log.warning(
                "%s=%s is read as the values %s; for decimals write points, as in 0.001",
                key,
                given[key],
                " and ".join(parts),
            )


def env_name(field: str) -> str:
    """Return the environment variable of a field: ``"data_dir"`` → ``"ATLAS_DATA_DIR"``."""
    return PREFIX + field.upper()


def _slug(settings: AtlasSettings) -> str:
    """A folder name that differs wherever two settings make atlases that must not mix."""
    stem = settings.model
    embedded = AtlasSettings.model_fields["model"].default  # also where a folder has this name
    if stem != embedded and Path(stem).is_dir():
        stem = with_digest(Path(stem))
    source = settings.hub_source or ""
    if source and stem == embedded:
        # an atlas fetched from the Hub speaks of the publisher's model, not of the embedded one
        stem = ""
    cut = (settings.ast_nodes, settings.builtins, settings.variations, settings.loss_threshold)
    parts = [
        source,
        (settings.hub_source_revision or "") if source else "",
        stem,
        f"own-{with_digest(Path(settings.stimuli))}" if settings.stimuli else "",
        settings.model_revision or "",
        "" if settings.readout == "last_token" else settings.readout,
        "" if settings.site == "mlp_out" else settings.site,
        "" if settings.dtype == "float32" else settings.dtype,
        "" if settings.bos == "auto" else f"bos-{settings.bos}",
        "" if settings.mlp is None else f"mlp-{short_digest(repr(settings.mlp))}",
        "" if cut == (None, None, 50, None) else f"cut-{short_digest(repr(cut))}",
        "" if settings.token_checker == REFERENCE else f"token-{settings.token_checker.file_tag}",
    ]
    text = "--".join(part for part in parts if part)
    name = re.sub(r"[^A-Za-z0-9._-]+", "--", text).strip("-.").lower() or "atlas"
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 7]}-{short_digest(text)}"
    return name


def _shown(value: Any) -> str:
    return reprlib.repr(without_secrets(value) if isinstance(value, str) else value)


def _explain(error: ValidationError) -> SettingsError:
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    info = AtlasSettings.model_fields.get(field)
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch":
        said = "not of that form"  # what is expected says it in words
    return SettingsError(
        "a setting is not usable" if info else "an unknown or contradictory setting",
        where=env_name(field) if field else None,
        expected=info.description if info else None,
        found=f"{_shown(first['input'])}: {said}" if field else said,
        remedy="correct the variable, or unset it for the default"
        + (f" ({info.default!r})" if info else ""),
    )
