"""`python -m batch`, the same as `enroll-batch`."""

from __future__ import annotations

from batch.commands.cli import main

if __name__ == "__main__":
    main()
