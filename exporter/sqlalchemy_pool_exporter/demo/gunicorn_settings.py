"""How gunicorn runs the shop; it reads these names, and no others, as its settings."""

workers = 2
worker_class = "gthread"
threads = 8
graceful_timeout = 1
loglevel = "warning"
control_socket_disable = True  # it would be a file in the user's home folder
