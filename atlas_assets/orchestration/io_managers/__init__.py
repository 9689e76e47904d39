"""The IO managers: HDF5, parquet, CSV, figures and documents under their published names."""
