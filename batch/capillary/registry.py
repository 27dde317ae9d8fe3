"""Step 3 of 5: the one table of what the API's codes and statuses mean.

Owns, for each documented error code and each HTTP status that speaks for itself: how a request ends that meets it,
for whom it speaks, whether another attempt makes sense, and the words for people. `codes` judges by it, `advice`
explains by it. Knows no reply and no request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from batch.model import Action, Outcome, Speaks, Tells

_DOCS = "docs.capillarytech.com"
_ENROLL = f"{_DOCS}/reference/connectedorgs-enroll-customer-milestone-or-streak"
_SCOPES = f"{_DOCS}/reference/connected-orgs-data-scopes"
_OAUTH = f"{_DOCS}/reference/oauth"
_ACCESS = f"{_DOCS}/reference/authorisation"
_STATUS = f'{_DOCS}/reference/errors-and-warnings, "API status codes"'
_TARGETS = f"{_DOCS}/reference/target-milestones"
_CHOICE = "our choice, because"


@dataclass(frozen=True, slots=True)
class Code:
    """What one error code of a body, or one HTTP status without a documented code, means.

    `retry` True: another attempt makes sense. `settles_anyway` True: it is a refusal of the record itself, which
    settles the request even when an earlier attempt may have been applied. `renews` True: one new token may help.
    `only` names the one action for which the code is documented; to the other it is an answer that nobody has
    documented. In `advice`, {again}, {mend} and {settle} stand for what depends on the run; `advice` knows what.
    """

    code: int
    outcome: Outcome
    speaks: Speaks
    meaning: str
    advice: str
    source: str
    tells: Tells = Tells.REFUSED
    retry: bool = False
    settles_anyway: bool = False
    renews: bool = False
    only: Action | None = None


_CHECK_ID = "Correct the customer id (it may be mistyped, of another organisation, or merged) and send the row again."
_CHECK_TARGET = "Check target_group_id and target_id, and that the target is active; then {mend}."
_CHECK_SCOPE = "Check scope.data_scope and the org id against the connected organisations of this API key; then {mend}."
_CHECK_ACCESS = (
    "Check the credentials, and that their access group allows Target Loyalty for this organisation; then {again}."
)
_WAIT = "Nothing was applied. Later, {again}."
_LOOK = "Read the message that the API sent and ask Capillary support; the request is not resent by itself."

# fmt: off
_ENTRIES: Final = (
    Code(310119, Outcome.ALREADY_ENROLLED, Speaks.REQUEST, "the customer is already enrolled for the target",
         "Nothing to do.", _ENROLL, only=Action.ENROLL),
    Code(310011, Outcome.INVALID_USER, Speaks.REQUEST, "no customer has this id", _CHECK_ID, _ENROLL,
         settles_anyway=True),
    Code(300004, Outcome.INVALID_INPUT, Speaks.REQUEST, "a value of this record is not accepted",
         "Check the row's values; where every row is refused so, check the campaign's settings.", _ENROLL,
         settles_anyway=True),
    Code(310019, Outcome.PERIOD_NOT_FOUND, Speaks.PERIOD, "the target has no such cycle",
         "Check the cycle's name, to the letter, against the target group; then {mend}.",
         _ENROLL, settles_anyway=True, only=Action.ENROLL),
    Code(310017, Outcome.TARGET_NOT_FOUND, Speaks.GROUP, "the target group does not exist or is deactivated",
         _CHECK_TARGET, _ENROLL),
    Code(310018, Outcome.TARGET_NOT_FOUND, Speaks.TARGET, "the target does not exist", _CHECK_TARGET, _ENROLL),
    Code(310079, Outcome.TARGET_NOT_FOUND, Speaks.TARGET, "the target is not of this target group", _CHECK_TARGET,
         _TARGETS),
    Code(310118, Outcome.TARGET_NOT_FOUND, Speaks.TARGET, "the cycle is not of this target", _CHECK_TARGET, _TARGETS),
    Code(310141, Outcome.SCOPE_REFUSED, Speaks.RUN, "DATA-SCOPE ALL is not supported for writing", _CHECK_SCOPE,
         _SCOPES),
    Code(310144, Outcome.SCOPE_REFUSED, Speaks.RUN, "the connected organisation is not set up, or is not connected",
         _CHECK_SCOPE, _SCOPES),
    Code(320001, Outcome.ACCESS_REFUSED, Speaks.RUN, "the API key and secret do not fit",
         "Check the variables behind auth.key and auth.secret; then {again}.", _OAUTH),
    Code(401, Outcome.ACCESS_REFUSED, Speaks.RUN, "the credentials or the token are not accepted", _CHECK_ACCESS,
         _OAUTH, renews=True),
    Code(403, Outcome.ACCESS_REFUSED, Speaks.RUN, "the credentials may not use this API", _CHECK_ACCESS, _OAUTH,
         renews=True),
    Code(498, Outcome.ACCESS_REFUSED, Speaks.RUN, "the token has expired", _CHECK_ACCESS, _OAUTH, renews=True),
    Code(4000, Outcome.ACCESS_REFUSED, Speaks.RUN, "the access group does not allow this call", _CHECK_ACCESS, _ACCESS),
    Code(4001, Outcome.SERVER_ERROR, Speaks.REQUEST, "the API cannot check permissions at the moment", _WAIT, _ACCESS,
         retry=True),
    Code(429, Outcome.RATE_LIMITED, Speaks.REQUEST, "too many calls for this API key", _WAIT,
         f"{_DOCS}/reference/rate-limits gives the limit; the status is undocumented, RFC 6585 defines it",
         retry=True),
    Code(461, Outcome.SERVER_ERROR, Speaks.REQUEST, "the search engine behind the API is busy", _WAIT, _STATUS,
         retry=True),
    Code(521, Outcome.SERVER_ERROR, Speaks.REQUEST, "another action runs for the same customer", _WAIT, _STATUS,
         retry=True),
    Code(500, Outcome.IN_DOUBT, Speaks.REQUEST, "the API failed and does not say whether the request was applied",
         "{settle}.",
         f"{_CHOICE} the generic 500 covers failures before and after the effect",
         tells=Tells.MAY_BE_APPLIED, retry=True),
    Code(1060, Outcome.UNRECOGNISED, Speaks.REQUEST, "more records than one call may carry", _LOOK, _STATUS),
    Code(1064, Outcome.UNRECOGNISED, Speaks.REQUEST, "the organisation id is invalid",
         "Check the org id against the connected organisations of this API key; then rerun with --also unrecognised.",
         _STATUS),
    Code(310130, Outcome.UNRECOGNISED, Speaks.REQUEST, "the enrolment type is invalid (documented for reading)", _LOOK,
         _TARGETS),
    Code(310145, Outcome.UNRECOGNISED, Speaks.REQUEST, "an invalid key is passed (documented for reading)", _LOOK,
         _TARGETS),
    Code(310149, Outcome.UNRECOGNISED, Speaks.REQUEST, "the customer has no record in this target (for reading)", _LOOK,
         _TARGETS),
    *(
        Code(code, Outcome.UNRECOGNISED, Speaks.REQUEST, "documented for setting up targets and leaderboards only",
             _LOOK, _TARGETS)
        for code in (310008, 310033, 310069, 310092, 310094, 310132, 310133, 310134, 310146, 310147)
    ),
)
# fmt: on

CODES: Final[dict[int, Code]] = {entry.code: entry for entry in _ENTRIES}
"""What an error code in a body means, whatever the HTTP status: code -> entry."""

_LOOK_UP = f"{_DOCS}/reference/get-customer-id"
_CHECK_IDENTIFIER = (
    "Correct the mobile number (with its country code), e-mail address or external id, empty the request_id, and send "
    "the row again."
)
_CHECK_SOURCE = "Check input.look_up_source: where the customers were registered; then {mend}."
# fmt: off
LOOK_UP_CODES: Final[dict[int, Code]] = {entry.code: entry for entry in (
    Code(8011, Outcome.SCOPE_REFUSED, Speaks.RUN, "the API does not know this source of customers", _CHECK_SOURCE,
         _LOOK_UP),
    Code(8012, Outcome.SCOPE_REFUSED, Speaks.RUN, "the API does not know this source of customers", _CHECK_SOURCE,
         _LOOK_UP),
    Code(8013, Outcome.INVALID_USER, Speaks.REQUEST, "this cannot be an identifier of a customer", _CHECK_IDENTIFIER,
         _LOOK_UP),
    Code(8015, Outcome.INVALID_USER, Speaks.REQUEST, "no customer has this identifier", _CHECK_IDENTIFIER, _LOOK_UP),
    Code(8045, Outcome.SCOPE_REFUSED, Speaks.RUN, "this source of customers needs an account id", _CHECK_SOURCE,
         _LOOK_UP),
    Code(8065, Outcome.INVALID_USER, Speaks.REQUEST, "no customer of this source has this identifier",
         "Check input.look_up_source; else correct the identifier, empty the request_id, and send the row again.",
         _LOOK_UP),
    Code(8069, Outcome.INVALID_USER, Speaks.REQUEST, "the customer was merged into another one",
         "Write the customer id of the other one, empty the request_id, and send the row again.", _LOOK_UP),
)}
# fmt: on
"""What an error code means in the answer to a look-up, and only there: code -> entry."""

_CHALLENGE = CODES[401], CODES[403], CODES[498], CODES[429], CODES[461]

# fmt: off
STATUSES: Final[dict[int, Code]] = {entry.code: entry for entry in _CHALLENGE} | {
    503: Code(503, Outcome.RATE_LIMITED, Speaks.REQUEST, "the API or its gateway takes nothing at the moment",
              _WAIT, f"RFC 9110, 15.6.4; {_CHOICE} a gateway that refuses does not apply", retry=True),
    521: Code(521, Outcome.SERVER_ERROR, Speaks.REQUEST, "the gateway cannot reach the API", _WAIT,
              f"{_DOCS}/docs/connectplus-overview; Cloudflare's error 521: the origin refused the connection",
              tells=Tells.NEVER_REACHED, retry=True),
}
# fmt: on
"""What an HTTP status means where the body holds no documented code: status -> entry."""

SERVER_FAULT: Final = CODES[500]
"""Every other 5xx."""

UNDOCUMENTED: Final = Code(
    0,
    Outcome.UNRECOGNISED,
    Speaks.REQUEST,
    "an answer that nobody has documented for this action",
    _LOOK,
    f"{_CHOICE} guessing at unknown answers is how records get lost",
)
"""A 3xx or 4xx without a documented code, or an undocumented code under 2xx to 4xx."""
