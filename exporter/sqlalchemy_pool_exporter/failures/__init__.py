"""What the exporter says about a failure: a reason from a closed set and a line for a person.

The agent finds the reasons, because it counts the application's own failures by them, too.
"""

from sqlalchemy_pool_exporter.failures.reason import MEANINGS, PROBE_REASONS, Failure, Reason

__all__ = ["MEANINGS", "PROBE_REASONS", "Failure", "Reason"]
