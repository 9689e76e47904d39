"""Activations and masks as HDF5."""

from __future__ import annotations

from atlas_assets.orchestration.io_managers.base import AtlasIOManager


class Hdf5IOManager(AtlasIOManager):
    """Activations (``12_*``), masks (``13_*``) and the standalone universal masks."""

    kind = "hdf5"
