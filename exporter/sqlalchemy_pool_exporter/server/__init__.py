"""What listens: uvicorn with our sockets, TLS and limits."""
