"""HTML pages and pictures of comparisons, without Feast and Dagster."""
