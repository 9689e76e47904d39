"""The paper's claims and the artifacts' integrity, as asset checks; `evaluate` needs no Dagster."""
