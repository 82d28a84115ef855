"""Prints the JSON Schema of the configuration file: python -m exporter.settings."""

import sys

from exporter.settings.schema import render_schema

if __name__ == "__main__":
    sys.stdout.write(render_schema())
