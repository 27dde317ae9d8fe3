"""Before step 1: the keys that say what customers are enrolled into, and the forms in which cycles may be written.

Owns `campaign`. Whether a cycle exists, and which of them a row gets, is not known here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, model_validator

from batch.config.section import Section, key
from batch.config.values import Natural, Positive, Text, YesOrNo, refuse
from batch.model import Action, Kind

CYCLE_LIMIT = 1000
"""Cycles that one pattern may stand for. Source: our choice, because more is a slip of the keys."""


class CyclePattern(Section):
    """Cycles whose names differ in a number."""

    pattern: Text = key(..., "the name with `{n}` where the number stands, in quotes")
    first: Natural = key(..., "the first number", alias="from")
    last: Natural = key(..., "the last number", alias="to")

    @model_validator(mode="after")
    def _counts_up(self) -> CyclePattern:
        if "{n}" not in self.pattern:
            raise refuse('has no {n} where the number stands; write such as "PERIOD_G_29463_{n}"', "pattern")
        if self.last < self.first:
            raise refuse("is less than from; exchange them", "to")
        if self.last - self.first >= CYCLE_LIMIT:
            raise refuse(f"is too far from from; a pattern may stand for {CYCLE_LIMIT} cycles", "to")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the pattern stands for, in order."""
        pattern = self.pattern.strip()
        return tuple(pattern.replace("{n}", str(n)) for n in range(self.first, self.last + 1))


def _no_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise refuse("names no cycle; write at least one, or remove the line")
    names = tuple(name.strip() for name in names)  # as a cell of the file is read
    for position, name in enumerate(names):
        if name in names[:position]:
            raise refuse("stands in the list twice; name each cycle once", position)
    return names


def _read_cycles_word(value: object) -> object:
    """Return the word that stands where a list of cycles may stand."""
    if value not in {"column", "api"}:
        raise refuse('is a single name where a list belongs; put it into [ ], or write column or a pattern with "{n}"')
    return value


def _cycles_form(value: object) -> str:
    if isinstance(value, str):
        return "<word>"
    return "<list>" if isinstance(value, list | tuple) else "<pattern>"


Cycles = Annotated[
    Annotated[tuple[Text, ...], AfterValidator(_no_repeats), Tag("<list>")]
    | Annotated[CyclePattern, Tag("<pattern>")]
    | Annotated[Literal["column", "api"], BeforeValidator(_read_cycles_word), Tag("<word>")],
    Discriminator(_cycles_form),
]


class CampaignSettings(Section):
    """What the customers of the file are enrolled into. A column of the file decides where there is one."""

    action: Action = key("enroll", "`enroll` (also re-enroll) or `unenroll`")
    kind: Kind = key("milestone", "`milestone` (has cycles) or `streak` (has none)")
    target_group_id: Positive | None = key(None, "the target group; required unless the file has the column")
    target_id: Positive | None = key(None, "the target; required unless the file has the column")
    cycles: Cycles | None = key(
        None,
        'the cycles of a milestone: a list of names, or `{pattern: "PERIOD_G_29463_{n}", from: 1, to: 10}`, '
        "or `column`, or `api`: those of the target group, by their dates, that are not over; never used for rows of "
        "another group or organisation",
    )
    expand: Literal["each", "first", "current"] = key(
        "each",
        "`each` cycle, one request per cycle, or the `first` only, or with `cycles: api` the `current` one, chosen by "
        "the day in `pacing.time_zone` on which the file is planned",
    )
    initial_balance: Natural | None = key(None, "the balance to start with; `null` resumes the old one, 0 wipes it")
    reset_streak_status: YesOrNo = key("false", "whether a streak begins anew on re-enroll")
    on_cascade: Literal["report", "skip", "stop"] = key(
        "report",
        "when enrolling into a cycle is found to enroll into the later ones: `report` it, `skip` the later ones (but "
        "for a sample, and for rows with a balance), or `stop`",
    )

    @property
    def cycle_names(self) -> tuple[str, ...] | None:
        """The names of the cycles in order; None when only the file's column names them."""
        if isinstance(self.cycles, CyclePattern):
            return self.cycles.names
        return self.cycles if isinstance(self.cycles, tuple) else None
