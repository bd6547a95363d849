"""The plugin: its command line, its deadline, and many targets in one process."""
