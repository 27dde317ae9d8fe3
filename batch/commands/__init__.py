"""One small module a command: arguments, then the room `run`, then words and an exit code."""
