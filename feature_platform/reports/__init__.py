"""Pages and pictures of what the statistics found; no Feast, no Dagster."""
