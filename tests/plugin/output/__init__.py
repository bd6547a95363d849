"""The plugin's output: its grammar, its bounds, and the exact text of each state and verbosity."""
