"""Everything that runs a network over prompts.

====================  =============================================================================
`extraction`          sums and firing counts of readouts (stage 12), losses (stage 11), or both
`passes`              the task of a pass over prompts, and its result
`prompts`             prompts as token sequences, each distinct one once, and their shards
`batching`            sizes of batches, padding, arrays to the network's device
`positions`           several positions of a prompt in one pass, and the scale of readouts at each
`spots`               places in prompts that are read besides, and the units that count them
`plain_pass`          padded batches, for any causal language model, resumable shard by shard
`readouts`            hooks that read the outputs of the MLP modules
`prefix_tree`         the tree of all distinct prefixes, cut into chunks
`tree_network`        a circuitgpt on one chunk of the tree
`tree_attention`      attention of a chunk's nodes to their ancestors
`tree_model`          any other causal language model on one chunk of the tree
`tree_probe`          whether such a model gives on the tree what it gives prompts alone
`published_tree`      the release's readout of a circuitgpt on a tree, to the bit
`tree_pass`           one resumable pass over the whole tree
`reduction`           readouts added up per unit, on the device
`losses`              the loss of a prompt, from logits or from the nodes of a tree
`branches`            ablated runs of a circuitgpt, each from the first layer that it changes
`interventions`       ablation of neurons and its first-order estimate, attribution
`shards`              scratch files from which a killed run goes on
`workers`             batches side by side on the cores of a CPU
====================  =============================================================================

Networks are in `atlas_assets.models`; what is computed from the sums in `atlas_assets.stages`.
"""
