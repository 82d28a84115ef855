"""`sqlalchemy-pool-exporter demo`: everything needed to see the exporter at work on one machine."""
