"""CSP-Atlas on Dagster: concept circuits of a code transformer as software-defined assets.

Wilam (2026), arXiv:2605.24603. Importing this package imports nothing else; the stages are
found by folder: ``stimuli`` and ``science`` (what is computed), ``models`` (on what), ``formats``
(how it lies on disk), ``io_managers``, ``assets`` and ``automation`` (how Dagster runs it).
"""

__version__ = "0.1.0"
