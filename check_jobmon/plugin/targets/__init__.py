"""Many databases in one process, and where their results go. Nothing here: the single check imports only `options`."""
