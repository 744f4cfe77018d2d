"""The command line. Each group of commands is a module of its own, imported when one of them is used."""
