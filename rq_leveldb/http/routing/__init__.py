"""What a route is, how a request gets from it to its function, and the OpenAPI document of all routes."""
