"""Metrics of SQLAlchemy's connection pools, recorded inside the application."""
