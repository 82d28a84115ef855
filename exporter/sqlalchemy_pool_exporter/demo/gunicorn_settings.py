"""Gunicorn's settings for the shop; the names are gunicorn's."""

workers = 2
worker_class = "gthread"
threads = 8
graceful_timeout = 1
loglevel = "warning"
control_socket_disable = True  # it would be a file in the user's home folder
