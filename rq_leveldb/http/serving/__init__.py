"""How the application is served: addresses, processes, connections, gunicorn."""
