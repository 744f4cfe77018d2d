"""How a request is read and checked: its body, its query, its fields, and the job that it asks for."""
