"""Run the command as `python -m sqlalchemy_pool_exporter`."""

import sys

from sqlalchemy_pool_exporter.cli import main

if __name__ == "__main__":
    sys.exit(main())
