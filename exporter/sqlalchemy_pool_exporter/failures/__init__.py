"""Why a database did not answer: a reason from a closed set and a line for a person.

What depends on the dialect is in the records of the package dialects.
"""

from sqlalchemy_pool_exporter.failures.reason import Failure, Reason

__all__ = ["Failure", "Reason"]
