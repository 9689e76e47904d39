"""Circuits by several definitions, and the yardsticks that all of them are judged by.

What is computed from stored masks, counts, attributions and losses; networks are run in
`atlas_assets.extraction`. The figures of the circuits are in `atlas_assets.stages.figures`.
"""
