"""Stage 11: the prompts (paper §4), from the published stimulus tables.

Scoring them with a model is in `atlas_assets.extraction`.
"""
