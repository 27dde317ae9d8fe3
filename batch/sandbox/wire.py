"""How a faulty answer goes over the wire: resets, cuts, drips and floods.

Owns the connection's last moments; every function here leaves it closed. Knows no rule of the API.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING

from batch.sandbox.faults import Fault

if TYPE_CHECKING:
    from batch.sandbox.answers import Answer
    from batch.sandbox.switches import Switches

_BLOCK = 64 * 1024


async def misanswer(
    fault: Fault, transport: asyncio.Transport, answer: Answer, switches: Switches, stopping: asyncio.Event
) -> None:
    """Carry one of the faults out that aiohttp would not let through, on the bare connection."""
    match fault:
        case Fault.RESET_BEFORE | Fault.RESET_AFTER:
            _reset(transport)
        case Fault.CLOSE_BEFORE | Fault.CLOSE_AFTER:
            transport.close()
        case Fault.HANG_BEFORE | Fault.HANG_AFTER:
            await _pause(switches.hang_s, transport, stopping)
            transport.abort()
        case Fault.CUT_HEADERS:
            _last_words(transport, _head(answer, f"Content-Length: {len(answer.body)}")[:-20])
        case Fault.TRUNCATE:
            head = _head(answer, f"Content-Length: {len(answer.body)}")
            _last_words(transport, head + answer.body[: len(answer.body) // 2])
        case Fault.CUT_CHUNK:
            chunk = f"{len(answer.body):x}\r\n".encode() + answer.body[: len(answer.body) // 2]
            _last_words(transport, _head(answer, "Transfer-Encoding: chunked") + chunk)
        case Fault.NOT_HTTP:
            _last_words(transport, b"220 mail.example.com ESMTP ready\r\n")
        case Fault.DRIP:
            await _drip(transport, answer, switches, stopping)
        case Fault.HUGE_BODY:
            head = _head(answer, f"Content-Length: {switches.huge_mb * 1024 * 1024}")
            await _flood(transport, head + b'{"data": "', b"x" * _BLOCK, switches, stopping)
        case Fault.ENDLESS_HEADERS:
            head = _head(answer, "Content-Length: 2")[:-2]
            await _flood(transport, head, b"X-Filler: 0123456789abcdef\r\n" * 2048, switches, stopping)


def _head(answer: Answer, length: str) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", f"Content-Type: {answer.content_type}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return "\r\n".join([*lines, length, "", ""]).encode()


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _last_words(transport: asyncio.Transport, raw: bytes) -> None:
    transport.write(raw)
    transport.close()


async def _pause(seconds: float, transport: asyncio.Transport, stopping: asyncio.Event) -> None:
    """Wait, but no longer than the client stays and the server runs."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not transport.is_closing() and not stopping.is_set() and (left := until - loop.time()) > 0:
        try:
            async with asyncio.timeout(min(left, 0.2)):
                await stopping.wait()
        except TimeoutError:
            continue


async def _drip(transport: asyncio.Transport, answer: Answer, switches: Switches, stopping: asyncio.Event) -> None:
    raw = _head(answer, f"Content-Length: {len(answer.body)}") + answer.body
    for byte in raw:
        if transport.is_closing() or stopping.is_set():
            break
        transport.write(bytes([byte]))
        await _pause(switches.drip_ms / 1000, transport, stopping)
    transport.close()


async def _flood(
    transport: asyncio.Transport, head: bytes, block: bytes, switches: Switches, stopping: asyncio.Event
) -> None:
    transport.write(head)
    left = switches.huge_mb * 1024 * 1024
    while left > 0 and not transport.is_closing() and not stopping.is_set():
        # What the client does not take stays in the kernel and in at most a few blocks here.
        if transport.get_write_buffer_size() > 4 * _BLOCK:
            await asyncio.sleep(0.002)
            continue
        transport.write(block)
        left -= len(block)
        await asyncio.sleep(0)
    transport.close()
