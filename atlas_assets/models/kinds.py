"""Which kind of checkpoint a folder or repository holds, told by the names of its files."""

from __future__ import annotations

from collections.abc import Collection

from atlas_assets.errors import ModelError

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
AUTHORS = ("beeg_config.json", "final_model.pt")
GGUF = ".gguf"


def require_readable_kind(
    names: Collection[str], where: str, lacking: str = f"the model's folder has no {CONFIG}"
) -> None:
    """Refuse what is no checkpoint with a ``config.json``, or more than that, with a ModelError.

    Args:
        names: of the files, without folders.
        where: what holds them, for the message.
        lacking: what is said where there is no checkpoint of any kind.
    """
    found = ", ".join(sorted(names)[:12]) or "no file"
    if ADAPTER in names:
        beside = " beside a model" if CONFIG in names else ""
        raise ModelError(
            f"there is an adapter (LoRA){beside}, and adapters are not applied",
            where=where,
            expected="a whole model",
            found=found,
            remedy="merge it (peft: `PeftModel.from_pretrained(base, adapter).merge_and_unload()"
            f".save_pretrained(folder)`), or take {ADAPTER} out of a copy to read the base",
        )
    if CONFIG in names:
        return
    if AUTHORS[0] in names:
        raise ModelError(
            "this is a checkpoint as the authors of circuit-sparsity store it",
            where=where,
            expected=f"{CONFIG} and model.safetensors",
            found=f"{' and '.join(name for name in AUTHORS if name in names)}, which is pickled",
            remedy="convert it once, weights only (docs/families.md has the lines): "
            "torch.load(…, weights_only=True), safetensors' save_file, and config.json from "
            f'{AUTHORS[0]} with "model_type": "circuitgpt"',
        )
    if any(name.lower().endswith(GGUF) for name in names):
        raise ModelError(
            "this is a GGUF file, which is not read",
            where=where,
            expected=f"a folder with {CONFIG} and safetensors weights",
            found=found,
            remedy="choose the model's repository in the format of transformers, or convert it: "
            "AutoModelForCausalLM.from_pretrained(folder, gguf_file=…).save_pretrained(…)",
        )
    raise ModelError(
        lacking,
        where=where,
        expected="a checkpoint in the Hub's format",
        found=found,
        remedy=f"point ATLAS_MODEL at a folder or repository that holds {CONFIG}",
    )
