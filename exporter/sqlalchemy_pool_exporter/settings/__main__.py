"""Print the JSON Schema of the configuration file: python -m sqlalchemy_pool_exporter.settings."""

import sys

from sqlalchemy_pool_exporter.settings.schema import render_schema

if __name__ == "__main__":
    sys.stdout.write(render_schema())
