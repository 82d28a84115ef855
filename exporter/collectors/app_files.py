"""The family about the files of the application's processes.

It must not know what is in the files.
"""

from collections.abc import Mapping

from prometheus_client.core import GaugeMetricFamily

from exporter.app_pools import FileState


def build_app_files(files: Mapping[FileState, int]) -> GaugeMetricFamily:
    """Returns how many files there are of each state; no sample where no folder is configured."""
    family = GaugeMetricFamily(
        "sqlalchemy_pool_exporter_app_files",
        "Files in the application's folder, one per process: live (the process runs), dead (its "
        "counters are still counted), unreadable (damaged, alien or of a newer version; "
        "or the folder itself). "
        "Absent when app.dir is not set.",
        labels=["state"],
    )
    for state, count in files.items():
        family.add_metric([state], count)
    return family
