"""A site that counts prime numbers in the background."""
