"""An atlas opened in Python: its tables as polars frames."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import polars as pl
from upath import UPath

from atlas_assets.atlas.circuit import PARTS, circuit_of
from atlas_assets.atlas.open import open_folder, open_in_force, require_atlas, require_file
from atlas_assets.errors import SettingsError, expect, naming
from atlas_assets.files.remote import folder_at
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.circuits.artifacts import DEFINED, OWN
from atlas_assets.stages.setting import PUBLISHED, REFERENCE, Definition, Setting, naming_values
from atlas_assets.storage.folder import partitions_present
from atlas_assets.storage.store import AtlasStore

_CIRCUIT = {
    "concept": pl.String(),
    "layer": pl.Int64(),
    "size": pl.Int64(),
    **dict.fromkeys(PARTS[:3], pl.Int64()),
    **dict.fromkeys(PARTS[3:], pl.Float64()),
    "nearest": pl.String(),
    "jaccard": pl.Float64(),
    "neurons": pl.List(pl.Int64()),
}


@dataclass(frozen=True, repr=False)
class Atlas:
    """An atlas opened for reading; made by `build` and `open_atlas`.

    Frames are polars (``.to_pandas()`` gives pandas). Every loader of `atlas_assets.io` reads this
    atlas with ``data_root=atlas.folder``.

    Attributes:
        store: reads the files of the atlas.
    """

    store: AtlasStore

    def __repr__(self) -> str:
        """Say where it lies and what can be asked of it."""
        return f"<Atlas {self.folder}: .summary(), .show(concept), .circuits(definition)>"

    @property
    def folder(self) -> UPath:
        """The folder that the files lie in."""
        return self.store.root

    def summary(self) -> pl.DataFrame:
        """Return mean concept and token fractions, a row per setting (paper §7.2).

        Raises:
            MissingArtifactError: there is no summary in the atlas.
            ArtifactError: the file is damaged.
        """
        require_file(self.store, "summary")
        frame: pl.DataFrame = self.store.read("summary")
        return frame

    def show(
        self, concept: str, *, eps: float = REFERENCE.epsilon, cons: float = REFERENCE.consistency
    ) -> pl.DataFrame:
        """Return the circuit of one concept, a row per layer, as ``atlas show --reference`` does.

        Args:
            concept: its full name (``ast__For``), or the bare one (``For``) where that is clear.
            eps, cons: the ε and C of the setting. ``atlas show`` without ``--reference`` takes the
                one where circuits differ most, and names it.

        Returns:
            ``concept``, ``layer``, ``size``; the neurons ``concept_only`` (A∖B), ``shared`` (A∩B)
            and ``token_only`` (B∖A), with A the circuit and B that of the keyword alone, and
            ``concept_fraction`` and ``token_fraction`` of the size, all null where the concept has
            no keyword; ``nearest``, the concept with the most similar circuit, and its
            ``jaccard``; ``neurons``, the neurons of the circuit.

        Raises:
            MissingArtifactError: there are no masks at the setting; those there are named.
            ArtifactError: a file is damaged.
            SettingsError: there is no such concept, or a threshold is out of range.
        """
        with naming_values("eps", "cons"):
            setting = Setting(eps, cons)
        found = circuit_of(self.store, concept, setting, n_nearest=0)
        rows = []
        for record in found.layers:
            parts = record["decomposition"] or dict.fromkeys(PARTS)
            nearest = record["nearest"] or {"concept": None, "jaccard": None}
            numbers = (record["layer"], record["size"], *(parts[part] for part in PARTS))
            rows.append((found.concept, *numbers, *nearest.values(), record["neurons"]))
        return pl.DataFrame(rows, schema=_CIRCUIT, orient="row")

    def circuits(self, definition: str = PUBLISHED) -> pl.DataFrame:
        """Return the circuits of all concepts by one definition, a row per neuron.

        Args:
            definition: ``published`` (the universal masks at the reference setting),
                ``published@0.1,0.5`` (those at another one), ``calibrated``, ``contrastive``,
                ``matched`` (a control), or ``own`` (the file that ``ATLAS_CIRCUITS`` names).

        Returns:
            ``concept``, ``layer`` and ``neuron``, sorted; a concept without a neuron has no row.

        Raises:
            MissingArtifactError: there are no circuits by it; the definitions there are named.
            ArtifactError: the file is damaged.
            SettingsError: there is no such definition; those that there are, are named.
        """
        wanted = Definition.of_partition_key(definition)
        defined = wanted.name in (*DEFINED, OWN)
        if not (defined or self.store.exists("circuits", wanted)):
            there = partitions_present(self.store.root, "circuits")
            raise SettingsError(
                "there is no such definition of circuits",
                where="definition",
                expected=f"{', '.join(DEFINED)}, {PUBLISHED} at another setting, as "
                f"{PUBLISHED}@0.1,0.5, or {OWN}",
                found=repr(definition),
                remedy="name one of these"
                + (f"; this atlas has {'; '.join(map(str, there))}" if there else ""),
            )
        require_file(self.store, "circuits", wanted)
        frame: pl.DataFrame = self.store.read("circuits", wanted)
        return frame


def open_atlas(folder: str | Path | UPath | None = None) -> Atlas:
    """Open an atlas: any folder with the published file names, or the atlas in force.

    The atlas in force is the one that the ``ATLAS_*`` variables describe.

    Raises:
        MissingArtifactError: there is no such folder, or no file of an atlas in it.
        SettingsError: it is no path, or a URL that cannot be used.
    """
    if folder is None:
        return Atlas(open_in_force(AtlasSettings.from_env()))
    expect(
        isinstance(folder, str | PathLike | UPath) and str(folder).strip() != "",
        SettingsError,
        "no folder is named",
        where="folder",
        expected="the path of an atlas's folder, or its URL",
        found=repr(folder),
        remedy="name the folder, or leave it out for the atlas in force",
    )
    with naming({"ATLAS_DATA_DIR": "folder"}, "argument"):
        place = folder_at(folder)
    require_atlas(place)
    return Atlas(open_folder(folder))
