"""The metric families, one module per group, and how a scrape becomes text."""
