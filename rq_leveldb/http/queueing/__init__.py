"""What requests do with RQ's queues: enqueue in one transaction, list by state."""
