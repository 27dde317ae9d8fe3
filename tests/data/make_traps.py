"""Writes every trap as a file, for people who want to open them: `python -m tests.data.make_traps FOLDER`.

The tests make the files themselves, each in a folder of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.data.other_traps import OTHER_TRAPS
from tests.data.text_traps import TEXT_TRAPS
from tests.data.xlsx_traps import XLSX_TRAPS

TRAPS = (*TEXT_TRAPS, *XLSX_TRAPS, *OTHER_TRAPS)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for trap in TRAPS:
        (folder / trap.name).write_bytes(trap.content)
    print(f"{len(TRAPS)} files in {folder}")
