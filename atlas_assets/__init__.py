"""CSP-Atlas on Dagster: concept circuits of a code transformer as software-defined assets.

Wilam (2026), arXiv:2605.24603. Importing this package imports nothing else. What its rooms hold,
and in which order they import each other, is in CONTRIBUTING.md.
"""

__version__ = "0.1.0"
