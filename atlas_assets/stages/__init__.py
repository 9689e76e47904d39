"""What the experiment computes, stage by stage, in the order of the paper's method.

Pure functions of arrays and tables: numpy, scipy and polars; no torch, no Dagster, no file.
Running a network belongs in `atlas_assets.extraction`, files in `atlas_assets.storage`.
"""
