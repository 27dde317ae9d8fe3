"""Everything that can end a run, as one tree; each class carries its exit code.

    EnrollBatchError            1   our own fault, or a fault of the machine we run on
    +-- UsageError              2   a wrong command line
    |   +-- ConfigError         2   a wrong config file or an unset secret
    +-- InputRefused            3   the upload cannot be used; nothing was sent
    |   +-- FileRefused         3   the same, said without a cell or a header of it
    +-- ApiSilent               7   the API does not answer a question before anything is sent
    +-- Interrupted             7   Ctrl-C or SIGTERM while nothing was out
    +-- LookUpsStopped    6, 7, 10   the look-up of customers stopped; what was found is kept, `resume` goes on
    +-- RunLocked               8   another process sends this run
    +-- AccessRefused          10   the API refuses our credentials or scope for the whole run
    +-- LedgerFailed            1   the ledger cannot be read or written

Row problems and outcomes are data, not exceptions. `text` is the line that a person reads: what, where, what to do.
"""

from __future__ import annotations

EXIT_CODES = {
    0: "all done; exact duplicates alone are no fault",
    1: "our own fault, or a fault of this machine",
    2: "usage or config: nothing was sent",
    3: "input refused, or no row can be used: nothing was sent",
    4: "finished; some rows or requests need work",
    5: "finished; some requests are in doubt",
    6: "stopped by a guard; `resume` goes on",
    7: "stopped (signal, --limit, --until, a no, a silent API); `resume` goes on",
    8: "another process is at work on this run",
    9: "the sample (canary) waits for your go-ahead; `resume` goes on",
    10: "access or scope refused; mend it, then `resume`",
    11: "the accounts do not balance; do not rely on the report",
}
"""What the program's exit code says. Where several hold, the first of 11, 1, 2, 10, 6, 9, 3, 8, 7, 5, 4, 0 is given."""


class EnrollBatchError(Exception):
    """A fault with one clear line for a person."""

    exit_code = 1

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class UsageError(EnrollBatchError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class ConfigError(UsageError):
    """The config file, or a secret that it names, cannot be used."""


class InputRefused(EnrollBatchError):
    """The upload cannot be read exactly, or holds nothing to send. `told`: what of that quotes nothing of it."""

    exit_code = 3

    def __init__(self, text: str, *, told: str = "") -> None:
        super().__init__(text)
        self.told = told


class FileRefused(InputRefused):
    """The same, for what its whole text may be told to anybody."""

    def __init__(self, text: str) -> None:
        super().__init__(text, told=text)


class ApiSilent(EnrollBatchError):
    """The API does not answer what has to be known before anything is sent."""

    exit_code = 7


class Interrupted(EnrollBatchError):
    """A signal ended the work on a run at a moment when nothing was out."""

    exit_code = 7


class LookUpsStopped(EnrollBatchError):
    """The look-up of customers stopped before all were asked about, so nothing is planned yet.

    `reason` is the word of the ledger for why (model.StopReason).
    """

    def __init__(self, text: str, reason: str, exit_code: int) -> None:
        super().__init__(text)
        self.reason = reason
        self.exit_code = exit_code


class RunLocked(EnrollBatchError):
    """Another process holds the run."""

    exit_code = 8


class AccessRefused(EnrollBatchError):
    """Credentials or scope are refused for the whole run."""

    exit_code = 10


class LedgerFailed(EnrollBatchError):
    """The ledger cannot be read or written, so nothing more may leave."""
