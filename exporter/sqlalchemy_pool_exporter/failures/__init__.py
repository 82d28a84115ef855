"""Why a database did not answer: one reason out of a closed set, and one line for a person.

It knows the errors of drivers, servers and sockets; it must not know about engines or probes.
"""

from __future__ import annotations

from sqlalchemy_pool_exporter.failures.failure import Failure, classify
from sqlalchemy_pool_exporter.failures.reason import Reason

__all__ = ["Failure", "Reason", "classify"]
