"""Who may do what: the token, logins, hosts and origins, and the functions that may be enqueued."""
