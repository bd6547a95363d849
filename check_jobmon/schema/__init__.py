"""The bundled schema: its tables, functions and queries, and their installation, upgrade and comparison."""
