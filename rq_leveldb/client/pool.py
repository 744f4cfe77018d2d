"""redis-py's pool, in which taking and returning a connection costs a fifth."""

from __future__ import annotations

from typing import Any

from redis.connection import ConnectionPool

__all__ = ['StorePool']


class StorePool(ConnectionPool):
    """redis.ConnectionPool for connections to the store, without the metrics that redis-py counts at every turn."""

    def set_retry(self, retry: object) -> None:
        """Ignore a retry rule and keep our own: any other may execute a command twice."""

    def get_connection(self, command_name: object = None, *keys: object, **options: object) -> Any:
        """Return a connected connection that is ready for a command; the arguments are redis-py's and are not used."""
        self._checkpid()
        with self._lock:
            connection: Any = (
                self._available_connections.pop() if self._available_connections else self.make_connection()
            )
            self._in_use_connections.add(connection)
        try:
            # A store that is gone is noticed here, before anything is sent, and connecting starts another. Unread data
            # belongs to a command that was abandoned, and must not be taken for the next reply.
            if connection.is_connected and connection.has_news():
                connection.disconnect()
            if not connection.is_connected:
                connection.connect()
        except BaseException:
            self.release(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back; arguments as redis-py."""
        self._checkpid()
        with self._lock:
            if connection not in self._in_use_connections:
                return
            self._in_use_connections.remove(connection)
            if connection.pid != self.pid:
                connection.disconnect()
                return
            if connection.should_reconnect():
                connection.disconnect()
            self._available_connections.append(connection)
