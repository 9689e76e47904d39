"""The model of an atlas, resolved, identified and loaded at most once per process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from atlas_assets.models.identity import ModelIdentity
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.prompts.object_prompts import PAPER_LOSS_THRESHOLD

if TYPE_CHECKING:
    from atlas_assets.models.loaded import LoadedModel, ModelTokenizer
    from atlas_assets.models.sources import ModelSource


@dataclass(frozen=True, eq=False)
class AtlasModel:
    """The model that ``ATLAS_MODEL`` names.

    torch and transformers are imported when the model is first asked for, not before.

    Attributes:
        settings: the settings that name the model, its revision, device and dtype.
        ask_hub: whether a Hub model may be downloaded; otherwise only its cached copy is used.
        sha: the pinned commit of a followed Hub model; ``None`` where there is no pin yet.
    """

    settings: AtlasSettings
    ask_hub: bool = True
    sha: str | None = None

    @cached_property
    def source(self) -> ModelSource:
        """The checkpoint on this machine; a Hub model is downloaded, and pinned if followed."""
        from atlas_assets.atlas import versions
        from atlas_assets.models.sources import resolve

        settings = self.settings
        sha = self.sha or (versions.known_sha(settings) if self.ask_hub else None)
        source = resolve(settings.model, sha or settings.model_revision, ask_hub=self.ask_hub)
        if self.ask_hub and source.revision is not None and versions.is_followed(settings):
            versions.pin_first(settings, source.revision)
        return source

    @cached_property
    def identity(self) -> ModelIdentity:
        """The model's id, revision and digests, without building the network."""
        from atlas_assets.models.sources import identify

        return identify(self.source)

    @cached_property
    def loaded(self) -> LoadedModel:
        """The network on its device, with its tokenizer."""
        from atlas_assets.models.loading import load

        settings = self.settings
        return load(
            self.source,
            device=settings.device,
            dtype=settings.dtype,
            mlp=settings.mlp or (),
            bos=settings.bos,
            site=settings.site,
        )

    @property
    def tokenizer(self) -> ModelTokenizer:
        """The model's tokenizer."""
        return self.loaded.tokenizer

    @property
    def bos(self) -> str | None:
        """Whether prompts begin with a beginning-of-sequence token; ``None``: there is none."""
        from atlas_assets.models.sources import has_bos

        return self.settings.bos if has_bos(self.source) else None

    @property
    def loss_threshold(self) -> float | None:
        """The filter's threshold (nats): the setting, else the model's own; ``None`` keeps all.

        Own prompts are filtered where the setting says so alone. A circuitgpt with the paper's
        vocabulary that names none has the paper's.
        """
        from atlas_assets.models.sources import default_loss_threshold, has_paper_vocabulary

        if self.settings.loss_threshold is not None:
            return self.settings.loss_threshold
        if self.settings.stimuli is not None:
            return None
        own = default_loss_threshold(self.source)
        return PAPER_LOSS_THRESHOLD if own is None and has_paper_vocabulary(self.source) else own
