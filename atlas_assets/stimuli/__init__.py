"""The published stimulus inventory (``stimuli.json``, Wilam 2026, Apache-2.0) and its loader."""
