"""One small module a command: arguments, then run.py, then words and an exit code."""
