"""Many databases in one process."""
