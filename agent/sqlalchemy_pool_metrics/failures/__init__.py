"""Why a database or a pool failed: a reason from a closed set for any exception.

The application's pools count failures by it, and the exporter's probes. Nothing here imports a
driver: the names of classes and modules, codes and texts tell errors apart.
"""
