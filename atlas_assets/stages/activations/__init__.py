"""Stage 12: the sums and counts of what each neuron did, and the units they are taken over.

Running the model is in `atlas_assets.extraction`.
"""
