"""What the paper defines, as pure functions on arrays and frames. Nothing here knows Dagster."""
