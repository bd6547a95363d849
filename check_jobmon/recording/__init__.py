"""Logging runs from outside of SQL: check_jobmon.job(), jobmonctl run's command, and the spool."""
