"""The networks that atlases are made from: circuitgpt, checkpoints, kernels, MLPs by name.

Importing `atlas_assets.models.circuitgpt` registers that family with transformers. Running a
network over prompts belongs in `atlas_assets.extraction`.
"""
