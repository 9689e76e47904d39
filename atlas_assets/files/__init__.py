"""Where files lie and how they are written, whatever is in them: paths, digests, atomic writes.

The lowest room. Formats are in `atlas_assets.storage`.
"""
