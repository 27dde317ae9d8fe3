"""Before step 1: the text of a config file becomes a tree of texts that knows its lines.

Owns reading the file, YAML and its traps, and the one line per fault that a person reads. Every scalar stays the
text that was typed, so that no id, time or cycle is changed on the way. It does not know which keys there are, what
their values mean, or what a `${NAME}` stands for.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml
from yaml.error import MarkedYAMLError
from yaml.reader import ReaderError

from batch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Place: TypeAlias = tuple[str | int, ...]
"""Where something stands: keys and, in lists, positions from 0."""
Tree: TypeAlias = "str | list[Tree] | dict[str, Tree] | None"

SIZE_LIMIT = 1_000_000
"""Bytes. Source: our choice, because a larger file is an upload that was given as config by mistake."""

_UNFIT = re.compile("[\x85\u2028\u2029]")
"""Line ends to YAML and to nobody else: within quotes they would become blanks, and line numbers would be wrong."""
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class Findings:
    """What is wrong with one file, collected so that a person can mend everything in one go."""

    def __init__(self, name: str) -> None:
        """`name` is the file as messages show it."""
        self.name = name
        self.lines: dict[Place, int] = {}
        self._found: list[tuple[int, str]] = []
        self._places: set[Place] = set()

    def add(self, place: Place, what: str, line: int | None = None) -> None:
        """Note one fault; without `line` it gets that of `place`, or of the nearest group around it."""
        line = self.line_of(place) if line is None else line
        where = [self.name] + [f"line {line}"] * (line > 0) + [shown(place)] * bool(place)
        self._found.append((line, f"{', '.join(where)}: {what}"))
        self._places.add(place)

    def blames(self, place: Place) -> bool:
        """Return whether a fault of this very place is already noted."""
        return place in self._places

    def line_of(self, place: Place) -> int:
        """Return the line, from 1, of a place or of the nearest group around it; 0 when there is none."""
        return next((self.lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self.lines), 0)

    def raise_if_any(self) -> None:
        """Raise one ConfigError with a line for each fault, in the order of the file."""
        if self._found:
            raise ConfigError("\n".join(text for _, text in sorted(self._found, key=lambda found: found[0])))


@dataclass(frozen=True, slots=True)
class Document:
    """A config file as it stands: texts, None for an empty value, and what is already known to be wrong."""

    tree: dict[str, Tree]
    findings: Findings


def read_config(path: Path) -> str:
    """Return the text of a config file.

    Raises: ConfigError when it cannot be read, is no UTF-8 or is far too large.
    """
    try:
        return read_text(path, "check the path of the config file")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.text}") from None


def read_text(path: Path, if_missing: str) -> str:
    """Return the text of a small UTF-8 file, without a byte order mark.

    `if_missing` is what to do where there is no such file.
    Raises: ConfigError whose text is only reason and remedy, for the caller to put the file's name before it.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"cannot be read ({error.strerror}); {if_missing}") from None
    except PermissionError as error:
        raise ConfigError(f"cannot be read ({error.strerror}); let this user read it") from None
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror}); correct the path") from None
    except ValueError:  # a NUL in the path
        raise ConfigError("is not a path; correct it") from None
    if len(raw) > SIZE_LIMIT:
        raise ConfigError("is larger than 1 MB; correct the path")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"is not UTF-8 text (line {line}); save it as UTF-8") from None


def parse(name: str, text: str) -> Document:
    """Return the tree of `text`, and the faults that do not keep it from being read further.

    Raises: ConfigError when the text is no YAML, or holds something else than a mapping of keys.
    """
    findings = Findings(name)
    root: yaml.Node | None = None
    if unfit := _UNFIT.search(text):
        _add_unfit(text, unfit.start(), findings)
        findings.raise_if_any()
    try:
        root = yaml.compose(text, Loader=_Loader)
    except ReaderError as error:
        _add_unfit(text, error.position, findings)
    except MarkedYAMLError as error:
        findings.add((), *_syntax_fault(text, error))
    except RecursionError:
        findings.add((), "is nested too deeply; write it flatter")
    except (ValueError, OverflowError):  # PyYAML passes the number of a \U escape on to chr()
        findings.add((), "an escape in double quotes names no character; write the character itself")
    else:
        if root is not None and not isinstance(root, yaml.MappingNode):
            findings.add((), "is not a mapping of keys, such as api: ...; is this the config file?", 1)
    findings.raise_if_any()
    return Document(_mapping(root, (), findings) if isinstance(root, yaml.MappingNode) else {}, findings)


def shown(place: Place) -> str:
    """Return a place as people read it: `campaign.cycles, item 3`."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f", item {part + 1}"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[\w-]+", part) else quoted(part))
    return text


def quoted(text: str) -> str:
    """Return a text in quotes, on one line, cut where it is long."""
    short = text if len(text) <= 60 else text[:57] + "..."
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short) + '"'


def unknown_key(name: str, known: Iterable[str]) -> str:
    """Return what to say about a key that is not one of `known`."""
    names = list(known)
    near = difflib.get_close_matches(name.strip().lower().replace("-", "_").replace(" ", "_"), names, 1)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known here: {', '.join(names)}"


class _Loader(yaml.SafeLoader):
    """PyYAML's composer without what a config file does not need and a slip of the keys produces."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            problem = "alias"
        else:
            problem = "anchor" if event.anchor is not None else "tag" if event.tag is not None else ""
        if problem:
            raise MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def scan_to_next_token(self) -> None:
        # Within { } and [ ] a tab is as good as a blank: JSON is often indented with tabs, and PyYAML refuses them.
        super().scan_to_next_token()
        while self.flow_level and self.peek() == "\t":
            self.forward()
            super().scan_to_next_token()


_NOT_CLOSED = "a { or [ before this is not closed; close it, and put commas between its entries"
_NOT_OPENED = "a } or ] that no { or [ before it opens; remove it, or open it"
_SYNTAX = {
    "alias": "a text that begins with * needs quotes (references to other parts of the file are not supported)",
    "anchor": "a text that begins with & needs quotes (anchors are not supported)",
    "tag": "a text that begins with ! needs quotes (tags are not supported)",
    r"found character '\t'": "a tab stands here; put blanks in its place",
    "mapping values are not allowed here": (
        'wrong indentation, or a text with ": " in it that needs quotes, or a key here or in the line before that has '
        'no ": " behind it'
    ),
    "found another document": "a second document begins here (---); keep one",
    "expected ',' or": _NOT_CLOSED,
    "but found ']'": _NOT_OPENED,
    "but found '}'": _NOT_OPENED,
    "expected <block end>": "wrong indentation; keys of one group begin in the same column",
    "could not find expected ':'": "a key without a colon, or wrong indentation",
    "expected the node content": "a text that begins with a sign needs quotes",
}
"""What PyYAML says, or begins to say, and what a person is told."""


def _syntax_fault(text: str, error: MarkedYAMLError) -> tuple[str, int]:
    """Return what is wrong with the YAML, and its line. Nothing of the file is quoted but a `${NAME}`."""
    problem = error.problem or ""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 0
    if mark and problem.endswith("but got '{'") and text[mark.index - 1 : mark.index].strip():
        begin = mark.index - text[: mark.index].endswith("$")
        braces = re.match(r"\$?\{[^{}\n]*\}?", text[begin:])
        return f'put quotes around "{braces.group() if braces else "{"}" and the text that it belongs to', line
    if error.context and "quoted scalar" in error.context and "end of" in problem and error.context_mark:
        return "the quote that opens here is never closed", error.context_mark.line + 1
    if error.context == "while parsing a flow node" and re.search(r"but found '(<stream end>|[\]}])'", problem):
        return _NOT_CLOSED, line
    if sign := re.match(r"found character '(\S)' that cannot start", problem):
        return f"a text that begins with {sign.group(1)} needs quotes", line
    for said, told in _SYNTAX.items():
        if said in problem:
            return told, line
    return f"is not valid YAML ({problem}); check the indentation and the quotes", line


def _add_unfit(text: str, position: int, findings: Findings) -> None:
    line = text.count("\n", 0, position) + 1
    findings.add((), f"the character {ord(text[position]):#06x} cannot stand in a config file; remove it", line)


def _mapping(node: yaml.MappingNode, place: Place, findings: Findings) -> dict[str, Tree]:
    tree: dict[str, Tree] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            findings.add(place, "a key must be a single word", line)
            continue
        key = _joined(key_node.value, place, line, findings)
        here = (*place, key)
        if key == "<<" and key_node.style is None:
            findings.add(here, "merge keys are not supported; write the keys out", line)
        elif key in tree:
            findings.add(here, f"repeated key; it already stands in line {findings.lines[here]}; remove one", line)
        else:
            findings.lines[here] = line
            tree[key] = _tree(value_node, here, findings)
    return tree


def _tree(node: yaml.Node, place: Place, findings: Findings) -> Tree:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, findings)
    if isinstance(node, yaml.SequenceNode):
        items: list[Tree] = []
        for position, item in enumerate(node.value):
            findings.lines[*place, position] = item.start_mark.line + 1
            items.append(_tree(item, (*place, position), findings))
        return items
    if isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS:
        return None
    return _joined(node.value, place, findings.line_of(place), findings)


def _joined(text: str, place: Place, line: int, findings: Findings) -> str:
    """Return a text whose escaped halves of characters are put together: JSON writes an emoji as two escapes."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        findings.add(place, "an escape stands for half a character; write the character itself", line)
        return ""
