"""Listening: uvicorn with our own sockets, TLS, limits and signals."""
