"""What answers requests, and what decorates the answers."""
