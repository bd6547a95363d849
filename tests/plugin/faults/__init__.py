"""What goes wrong around the plugin, each with its real cause: the state, the words, and nothing left behind."""
