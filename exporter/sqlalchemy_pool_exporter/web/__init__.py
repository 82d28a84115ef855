"""The handlers that answer requests, and the middleware around them."""
