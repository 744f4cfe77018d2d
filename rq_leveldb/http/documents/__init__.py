"""How jobs, queues and workers look in JSON."""
