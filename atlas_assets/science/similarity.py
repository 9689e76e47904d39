"""Jaccard similarity of masks (SCIENCE §5): |A ∩ B| / |A ∪ B|."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atlas_assets.errors import ArtifactError

#: float32 holds every integer up to this one, so smaller counts are exact in it
_EXACT_IN_FLOAT32 = 2**24


def jaccard(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Jaccard similarity of every two masks.

    All intersections come from one matrix product of zeros and ones; it is exact, so the result
    does not depend on the BLAS in use.

    Args:
        bits: bool ``[units, width]``, one layer's masks.

    Returns:
        float64 ``[units, units]``, symmetric, in [0, 1]; 0 where both masks are empty, on the
        diagonal too.

    Raises:
        ArtifactError: ``bits`` has another dtype or number of axes.
    """
    if bits.dtype != np.bool_ or bits.ndim != 2:
        raise ArtifactError(
            "cannot compare masks",
            where="bits",
            expected="bool, two axes (units, width)",
            found=f"{bits.dtype}, shape {bits.shape}",
            remedy="pass one layer of a masks object: masks.bits[:, layer]",
        )
    exact: type[np.floating] = np.float32 if bits.shape[1] < _EXACT_IN_FLOAT32 else np.float64
    numbers = bits.astype(exact)
    shared: npt.NDArray[np.float64] = np.matmul(numbers, numbers.T).astype(np.float64)
    sizes = shared.diagonal()
    union = sizes[:, np.newaxis] + sizes[np.newaxis, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
