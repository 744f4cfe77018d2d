"""Stored jobs, for the HTTP front and the command line: lists, deleting, requeueing. Nothing a job holds is run."""
