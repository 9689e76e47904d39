"""Trains the embedded model: a small weight-sparse circuitgpt, after Gao et al. (2025).

`python -m atlas_assets.models.training` (or ``make train-embedded``) does everything from the
standard library's source to the checkpoint, its record and its card. The recipe, arXiv:2511.13653
in small: AdamW with gradient clipping, and after each step only the largest entries of each matrix
stay, at a density that falls from dense to the target while the model learns.
"""
