"""`python -m check_jobmon` is the plugin."""

from check_jobmon.cli import command

if __name__ == "__main__":
    command()
