"""The same commands sent to a real Redis server and to the store give the same replies and leave the same contents."""
