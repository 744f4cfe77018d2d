"""What answers on each path: one module per resource, its routes in a table at the end."""
