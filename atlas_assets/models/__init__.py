"""The networks an atlas is made of: circuitgpt, checkpoints, kernels, and MLPs found by name.

Importing `atlas_assets.models.circuitgpt` registers that family with transformers. Running a
network over prompts belongs in `atlas_assets.extraction`.
"""
