"""One file per group of families: read-time lists over snapshots, in the catalogue's order."""
