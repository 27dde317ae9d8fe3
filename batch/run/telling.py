"""After a run, or a night: those whom the config names are told how it went.

Joins the settings, the report's summary, and the ways of `nightly`. What does not arrive is logged and changes
nothing: a run ends as it has ended.
"""

from __future__ import annotations

import os
import shlex
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from batch.config import AppriseSettings, EmailSettings, HeartbeatSettings, WebhookSettings, load_notify
from batch.errors import EXIT_CODES, ConfigError, EnrollBatchError, Interrupted, LedgerFailed, LookUpsStopped
from batch.model import Event, Occasion
from batch.nightly.chats import Chat
from batch.nightly.heartbeat import Heartbeat
from batch.nightly.mail import IMPLICIT_PORT, STARTTLS_PORT, Mail
from batch.nightly.messages import FINISHED, Message, Way, occasion_of
from batch.nightly.notify import PATIENCE_S, WAITS_S, Delivery, deliver
from batch.nightly.web import Receiver
from batch.nightly.webhook import Webhook
from batch.run.opening import spelled
from batch.run.run_log import RunLog
from batch.run.trouble import is_in_trouble, note_recovery, note_trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from pydantic import SecretStr

    from batch.config import Entry
    from batch.run.opening import OpenRun

    Notify = Sequence[Entry | None]
    """The entries of `notify`, in the order of the config; None for one that is not told now."""

START_PATIENCE_S = 10.0
"""Source: our choice, because nobody minds when the start is not told, and everybody when the night is late."""
_NO_TROUBLE = frozenset({8, 9, *FINISHED})
"""Exit codes that need no recovery: it came to its end, or waits for a word or for another process."""


@dataclass(frozen=True, slots=True)
class News:
    """How a run or a night went. `about` names it; `text` holds no customer data; `report` is a path or a link.

    `headline` says it in a few words, "" where the exit code does. What is `idle` has done nothing, so that it is no
    recovery from anything. `beside` is what else it tells of: how earlier nights went of which nobody has been told.
    """

    about: str
    exit_code: int
    text: str
    report: str
    headline: str = ""
    was_resumed: bool = False
    idle: bool = False
    beside: frozenset[Occasion] = frozenset()


def tell_start(notify: Notify, about: str) -> list[Delivery]:
    """Tell those who want to know that it begins. One attempt each, so that nothing has to wait for it."""
    message = Message(Occasion.START, about, None, f"{about} begins on {socket.gethostname()}.", "", time.time())
    return _deliver(notify, [message], waits_s=(), patience_s=START_PATIENCE_S)


def tell_end(notify: Notify, config: Path | str, news: News) -> list[Delivery]:
    """Tell how it ended. After trouble with the same config, or of a run that had stopped, the good end is a recovery.

    Everybody gets one message: of the recovery, else of the end, else of what is told beside it. What only heartbeats
    hear neither makes trouble nor ends it, and a recovery that nobody has heard, who wanted to, is told again.

    Raises:
        KeyboardInterrupt: a signal came; whoever does not want to wait for this has still a run that ended as it did.
    """
    occasions = [occasion_of(news.exit_code)]
    occasions += [occasion for occasion in Occasion if occasion in news.beside and occasion not in occasions]
    is_for_people = not news.idle and any(entry and not isinstance(entry, HeartbeatSettings) for entry in notify)
    had_trouble = is_for_people and is_in_trouble(config)
    if news.exit_code in FINISHED and (news.was_resumed or news.beside or had_trouble):
        occasions.insert(0, Occasion.RECOVERED)
    if is_for_people and news.exit_code not in _NO_TROUBLE:
        note_trouble(config)
    at_s = time.time()
    messages = [
        Message(occasion, news.about, news.exit_code, news.text, news.report, at_s, news.headline)
        for occasion in occasions
    ]
    told = _deliver(notify, messages, waits_s=WAITS_S, patience_s=PATIENCE_S)
    if had_trouble and news.exit_code in FINISHED and is_heard(notify, told, {Occasion.RECOVERED}):
        note_recovery(config)
    return told


def is_heard(notify: Notify, told: Iterable[Delivery], occasions: Collection[Occasion] = tuple(Occasion)) -> bool:
    """Return whether somebody has got a message of one of these occasions; also where it was for nobody.

    A heartbeat is nobody: what it gets is read when it is missed.
    """
    people = {way.name for way, _ in ways_of(notify) if not isinstance(way, Heartbeat)}
    reached = [each.reached for each in told if each.way in people and each.occasion in occasions]
    return any(reached) or not reached


@contextmanager
def telling(run: OpenRun, say: Callable[[str], None]) -> Iterator[None]:
    """Tell that a run begins, and how it ended: by the exit code or the error that leaves the block."""
    told = tell_start(run.settings.notify, run.folder.name)
    log_deliveries(run.folder, told)
    warn_of(told, say)
    try:
        yield
    except SystemExit as ended:
        tell_run(run, ended.code if isinstance(ended.code, int) else 1, say)
        raise
    except KeyboardInterrupt:
        tell_run(run, Interrupted.exit_code, say)
        raise
    except Exception as error:
        tell_run(run, error.exit_code if isinstance(error, EnrollBatchError) else 1, say)
        raise


@contextmanager
def telling_refusal(run: OpenRun, say: Callable[[str], None]) -> Iterator[None]:
    """Tell of an error that leaves the block while planning. What it says of an upload is not told: it may quote it."""
    config, _ = _past(run)
    about = run.folder.name
    try:
        yield
    except EnrollBatchError as error:
        is_private = not isinstance(error, LookUpsStopped)
        why = "What is wrong was printed where it was started." if is_private else f"{error.text}."
        text = f"**{_headline(about, error.exit_code)}**\n\n{why}\n"
        with suppress(KeyboardInterrupt):
            warn_of(tell_end(run.settings.notify, config, News(about, error.exit_code, text, "")), say)
        raise


@contextmanager
def telling_of_config(config: Path, about: str, say: Callable[[str], None]) -> Iterator[None]:
    """Tell of an error that leaves the block while a config is read, as far as it still says whom."""
    try:
        yield
    except ConfigError as error:
        with suppress(KeyboardInterrupt):
            tell_unusable(config, about, error, say)
        raise


def tell_unusable(config: Path, about: str, error: ConfigError, say: Callable[[str], None]) -> None:
    """Tell of a config that cannot be used, as far as it still says whom; what did not arrive is also said.

    Raises:
        KeyboardInterrupt: a signal came.
    """
    notify = load_notify(config, working_dir=Path.cwd(), environ=os.environ)
    again = f"`enroll-batch doctor -c {shlex.quote(str(spelled(config)))}` looks again"
    text = f"{error.text}\n\nNothing was sent. Once that is mended, {again}.\n"
    warn_of(tell_end(notify, config, News(about, error.exit_code, text, "", "the config cannot be used")), say)


def tell_run(run: OpenRun, exit_code: int, say: Callable[[str], None]) -> None:
    """Tell how a run ended; what was told goes into run.log, what was not is also said."""
    if not run.settings.notify:
        return
    config, was_resumed = _past(run)
    news = News(
        about=run.folder.name,
        exit_code=exit_code,
        text=_summary(run.folder, exit_code),
        report=f"{socket.gethostname()}:{run.folder / 'report.html'}",
        was_resumed=was_resumed,
    )
    with suppress(KeyboardInterrupt):
        told = tell_end(run.settings.notify, config, news)
        log_deliveries(run.folder, told)
        warn_of(told, say)


def warn_of(deliveries: Iterable[Delivery], say: Callable[[str], None]) -> None:
    """Say what did not arrive."""
    for delivery in deliveries:
        if delivery.fault is not None:
            say(f"Warning: {delivery.text}")


def log_deliveries(folder: Path, deliveries: Iterable[Delivery]) -> None:
    """Write into a run's log who was told, and who was not."""
    events = [
        Event(time.time_ns(), "notify", each.text, {"attempts": each.attempts, "arrived": each.fault is None})
        for each in deliveries
    ]
    RunLog(folder).write(events)


def ways_of(notify: Notify) -> list[tuple[Way, frozenset[Occasion]]]:
    """Return the ways that the config names, in its order, each with what is told on it."""
    found: list[tuple[Way, frozenset[Occasion]]] = []
    for number, entry in enumerate(notify, 1):
        if entry is None:
            continue
        occasions = frozenset(Occasion) if isinstance(entry, HeartbeatSettings) else frozenset(entry.on)
        found.append((_way(f"notify, item {number} ({entry.kind})", entry), occasions))
    return found


def _way(name: str, entry: Entry) -> Way:
    match entry:
        case EmailSettings():
            is_implicit = entry.tls == "implicit"
            return Mail(
                name=name,
                to=entry.to,
                sender=entry.sender,
                host=entry.host,
                port=entry.port or (IMPLICIT_PORT if is_implicit else STARTTLS_PORT),
                implicit_tls=is_implicit,
                user=entry.user,
                password=_shown(entry.password),
                ca_bundle=entry.ca_bundle,
            )
        case WebhookSettings():
            receiver = Receiver(entry.url.get_secret_value(), entry.ca_bundle, _shown(entry.proxy))
            return Webhook(name, receiver, entry.hmac_key.get_secret_value())
        case AppriseSettings():
            return Chat(name, entry.url.get_secret_value())
        case HeartbeatSettings():
            return Heartbeat(name, Receiver(entry.url.get_secret_value(), entry.ca_bundle, _shown(entry.proxy)))
        case _ as unreachable:
            assert_never(unreachable)


def _shown(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _deliver(
    notify: Notify, messages: Sequence[Message], *, waits_s: Sequence[float], patience_s: float
) -> list[Delivery]:
    """Send on each way the first of `messages` that is told on it."""
    errands = []
    for way, occasions in ways_of(notify):
        message = next((message for message in messages if message.occasion in occasions), None)
        if message:
            errands.append((way, message))
    return deliver(errands, waits_s=waits_s, patience_s=patience_s)


def _summary(folder: Path, exit_code: int) -> str:
    """Return summary.md; where it does not tell of this end, say first what the exit code means."""
    summary = ""
    with suppress(OSError, UnicodeDecodeError):
        summary = (folder / "summary.md").read_text("utf-8")
    if f"exit code {exit_code}**" in summary.partition("\n")[0]:
        return summary
    return f"**{_headline(folder.name, exit_code)}**\n\n{summary}"


def _headline(about: str, exit_code: int) -> str:
    return f"enroll-batch {about}: exit code {exit_code}: {EXIT_CODES.get(exit_code, '')}"


def _past(run: OpenRun) -> tuple[str, bool]:
    """Return the run's config, and whether it went on after it had stopped or died; not only after a sample."""
    try:
        ((config,),) = run.ledger.read("SELECT config_path FROM run")
        ((resumed, samples),) = run.ledger.read("SELECT sum(kind = 'resumed'), sum(kind = 'canary') FROM event")
    except LedgerFailed:  # that is told all the same
        return "", False
    return str(config), (resumed or 0) > (samples or 0)
