"""Many databases in one process, and where their results go. The single check imports nothing from here."""
