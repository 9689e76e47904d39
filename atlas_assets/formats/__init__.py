"""How an atlas lies on disk: HDF5, parquet and CSV, provenance, atomic writes. No Dagster here."""
