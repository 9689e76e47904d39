"""When the graph runs: jobs (and later schedules and sensors)."""
