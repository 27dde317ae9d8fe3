"""Before step 1: what every group of keys has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A section of a config file. Defaults are written as in the file, so that the table shows what one types."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


def key(default: Any, meaning: str, **more: Any) -> Any:
    """Return the field of a key: its default as it would be typed (`...` for a required key) and its meaning."""
    return Field(default, description=meaning, **more)
