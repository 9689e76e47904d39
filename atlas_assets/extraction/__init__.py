"""Everything that runs a network over prompts: batches, the prefix tree, sums and losses, shards.

Networks are in `atlas_assets.models`; what is computed from the sums in `atlas_assets.stages`.
"""
