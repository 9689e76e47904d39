"""The on-disk formats joined to Dagster's partitions and metadata; thin."""
