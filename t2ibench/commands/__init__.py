"""What the commands do, one file an idea. Only these files and `cli.py` print."""
