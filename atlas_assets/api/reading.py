"""Readouts of one's own prompts, and masks of them, without an atlas."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from atlas_assets.errors import ModelError, SettingsError, StimulusError, expect, naming
from atlas_assets.settings import Bos, Readout, Site, env_name
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.masks.masks import Masks, threshold
from atlas_assets.stages.setting import REFERENCE, Setting, naming_values

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: readings that are kept nowhere have no fingerprint
_KEPT_NOWHERE = "0" * 8
#: what stands here for the settings that errors name
_ARGUMENTS = {
    env_name(name): name
    for name in ("model", "site", "device", "dtype", "batch_tokens", "mlp", "bos")
} | {env_name("model_revision"): "revision", env_name("readout"): "position"}


def read(
    model: PreTrainedModel | str | Path,
    tokenizer: PreTrainedTokenizerBase | None = None,
    prompts: Mapping[str, Sequence[str]] | None = None,
    *,
    site: Site = "mlp_out",
    position: Readout = "last_token",
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    batch_tokens: int | None = None,
    mlp: Sequence[str] = (),
    bos: Bos = "auto",
) -> Activations:
    """Run a model over prompts and add up, per unit, what each neuron did.

    The numbers are those of stage 12 of the graph, made by the same functions: the readout of a
    layer is what its block shows at one site and one position of a prompt. A progress bar is drawn
    in a terminal and in a notebook. Nothing is written.

    Args:
        model: a causal language model of transformers in memory, which is read as it is; or
            ``"embedded"``, a folder with a checkpoint, or a Hub id.
        tokenizer: of a model in memory; a folder or Hub id brings its own.
        prompts: unit → its prompts, each with at least one. A mask is made of each unit.
        site: ``mlp_out``, what each block's MLP gives; ``mlp_contribution``, that as it is added to
            the residual stream; ``mlp_neurons``, what goes into its down projection; ``attn_out``,
            what the attention gives; ``resid_post``, the residual stream after the block.
        position: ``last_token``, the last token of each prompt; ``published``, the padded position
            that the paper's release read.
        revision: branch, tag or sha of a Hub id.
        device: of a folder or Hub id: ``auto`` (a GPU when there is one), ``cpu``, ``cuda``.
        dtype: of a folder or Hub id: precision of the weights.
        batch_tokens: tokens per forward pass, padding included; default: suited to the device.
        mlp: names of the modules that make up a block's MLP, with ``*`` for the layer; default:
            found by name.
        bos: whether prompts begin with the beginning-of-sequence token; ``auto``: as the
            tokenizer does it.

    Returns:
        ``names`` of the units, sorted; ``n_prompts`` int32 ``[units]``; ``sums`` float32 and
        ``counts`` int32 ``[units, layers, width]``: Σ|readout| and #(|readout| > 0).

    Raises:
        StimulusError: no units, a unit without prompts, or a prompt without tokens.
        ModelError: the model cannot be found or read, or has no such site, a prompt is longer than
            it can take, or a readout is not finite.
        SettingsError: there is no such position, site, device or precision, or another argument
            is out of range.
    """
    from atlas_assets.extraction.extraction import Running, extract  # imports torch
    from atlas_assets.extraction.shards import ShardStore
    from atlas_assets.models.in_memory import in_memory
    from atlas_assets.models.loading import load, resolve
    from atlas_assets.progress import Progress

    _require_one_of("position", position, get_args(Readout))
    _require_one_of("site", site, get_args(Site))
    _require_one_of("bos", bos, get_args(Bos))
    _require_count("batch_tokens", batch_tokens)
    units = _units(prompts)
    running: Running = {
        "shards": ShardStore(None, _KEPT_NOWHERE),
        "progress": Progress("reading"),
        "batch_tokens": batch_tokens,
    }
    if isinstance(model, str | Path):
        _require_no_tokenizer(tokenizer)
        with naming(_ARGUMENTS, "argument"):
            source = resolve(str(model), revision)
            loaded = load(source, device=device, dtype=dtype, mlp=tuple(mlp), bos=bos, site=site)
            return extract(loaded, units, readout=position, **running).whole()
    with (
        naming(_ARGUMENTS, "argument"),
        in_memory(model, tokenizer, mlp=tuple(mlp), bos=bos, site=site) as lent,
    ):
        return extract(lent, units, readout=position, **running).whole()


def _require_one_of(name: str, value: object, known: Sequence[str]) -> None:
    expect(
        value in known,
        SettingsError,
        f"there is no such {name}",
        where=name,
        expected=", ".join(known),
        found=repr(value),
        remedy="name one of these",
    )


def masks(
    readings: Activations,
    epsilon: float = REFERENCE.epsilon,
    consistency: float = REFERENCE.consistency,
) -> Masks:
    """Make the mask of every unit by the rule of stage 13 (docs/science.md §3).

    A neuron is in it where its mean |readout| exceeds ``epsilon`` and it fires on at least the
    share ``consistency`` of the unit's prompts.

    Returns:
        ``names`` of the units, sorted, and ``bits``, bool ``[units, layers, width]``;
        ``neurons(name)`` gives the numbers of a unit's neurons, for each layer.

    Raises:
        SettingsError: a threshold is out of range, or ``readings`` are none.
    """
    expect(
        isinstance(readings, Activations),
        SettingsError,
        "these are no readings",
        where="readings",
        expected="what atlas_assets.read returns",
        found=type(readings).__name__,
        remedy="read the prompts first, and give what comes of it",
    )
    with naming_values("epsilon", "consistency"):
        return threshold(readings, Setting(epsilon, consistency))


def _require_count(name: str, value: object) -> None:
    expect(
        value is None or (isinstance(value, Integral) and int(value) > 0),
        SettingsError,
        f"{name} is out of range",
        where=name,
        expected="a whole number from 1 on, or None",
        found=repr(value),
        remedy="correct the argument, or leave it out",
    )


def _units(prompts: Mapping[str, Sequence[str]] | None) -> dict[str, list[str]]:
    if not isinstance(prompts, Mapping) or not all(map(_is_unit, prompts.items())):
        raise StimulusError(
            "these are no prompts to read",
            where="prompts",
            expected="unit → its prompts, as {'mine': ['for x in y: pass', 'while x: pass']}",
            found=repr(prompts)[:80],
            remedy="give a list of prompts for each unit",
        )
    units = {name: list(of_unit) for name, of_unit in prompts.items()}
    empty = next((name for name, of_unit in units.items() if not of_unit), None)
    if not units or empty is not None:
        raise StimulusError(
            "there are no prompts to read",
            where="prompts" if empty is None else f"prompts, unit {empty}",
            expected="at least one unit, each with at least one prompt",
            found="no units" if empty is None else "no prompts",
            remedy="give prompts, as {'mine': ['for x in y: pass']}"
            if empty is None
            else "give the unit a prompt, or leave it out",
        )
    for name, of_unit in units.items():
        for number, text in enumerate(of_unit):
            _require_text(text, f"unit {name!r}, prompt {number}")
        _require_text(name, "the name of a unit")
    return units


def _require_text(text: str, where: str) -> None:
    """Refuse half of a surrogate pair, which is no character and which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise StimulusError(
            "a prompt or its unit holds what is no text",
            where=where,
            expected="characters that UTF-8 can write",
            found=repr(text[error.start]),
            remedy="read the text again in its own encoding, or take the character out",
        ) from error


def _is_unit(item: tuple[Any, Any]) -> bool:
    name, prompts = item
    several = isinstance(prompts, Collection) and not isinstance(prompts, str)
    return isinstance(name, str) and several and all(isinstance(each, str) for each in prompts)


def _require_no_tokenizer(tokenizer: object) -> None:
    expect(
        tokenizer is None,
        ModelError,
        "a checkpoint is read with the tokenizer that lies beside its weights",
        where="tokenizer",
        expected="none",
        found=type(tokenizer).__name__,
        remedy="leave the tokenizer out, or pass the model in memory as well",
    )
