"""HDF5 files: reading and writing many small vectors, validated.

What the files of an atlas hold is in the modules of `atlas_assets.storage`.
"""
