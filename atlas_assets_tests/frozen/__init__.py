"""What a user can see, held to what was recorded of it, so that a change of code proves harmless.

It speaks through surfaces that outlive any order of modules: the command lines `atlas` and
`dagster`, `atlas_assets.definitions`, `atlas_assets.io`, and the files as h5py, polars and Pillow
read them. A deliberate change is recorded anew and shows in the diff of ``recorded``, an item a
line:

    python -m atlas_assets_tests.frozen.record           # a cut grid, a minute or two
    python -m atlas_assets_tests.frozen.record --full    # the whole embedded grid as well

Recorded on x86-64 with torch 2.13.0 for the CPU in float32. Another processor may sum in another
order, so activations and losses are held to their sums, to five significant digits; their bits, the
digests in provenance records and the pixels of figures are held only where processor and libraries
are those of the recording. Masks, tables and documents are held everywhere.
"""
