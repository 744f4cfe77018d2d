"""Redis's own serialization of a value, which DUMP and RESTORE carry: bytes in, plain Python values out, and back."""
