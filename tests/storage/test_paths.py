"""What a person types is a path or an address; what must not be shown is in none of its texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch.storage.failures import StorageFailed
from batch.storage.paths import LONGEST_NAME, RemotePath, Scheme, read_path

SECRET = "pa55word"


def address(text: str) -> RemotePath:
    found = read_path(text)
    assert isinstance(found, RemotePath)
    return found


@pytest.mark.parametrize("text", ["upload.csv", "/in/may.csv", "a b.csv", "C:\\may.csv", "s3:/x", "://x", "-", "1://x"])
def test_what_is_no_address_is_a_path(text: str) -> None:
    assert read_path(text) == Path(text)


def test_an_address_is_taken_apart() -> None:
    s3 = address("s3://uploads/in/may 1?#%20.csv")
    assert (s3.host, s3.path, s3.name) == ("uploads", "in/may 1?#%20.csv", "may 1_#%20.csv")
    sftp = address("SFTP://clerk@files.example.com:2222/in/may%201.csv")
    assert (sftp.user, sftp.host, sftp.port, sftp.path) == ("clerk", "files.example.com", 2222, "/in/may 1.csv")
    assert (sftp.name, sftp.stem) == ("may 1.csv", "may 1")
    https = address("https://files.example.com/in/may%201.csv?key=abc#top")
    assert (https.path, https.query, https.name) == ("/in/may%201.csv", "key=abc", "may 1.csv")
    assert str(https) == "https://files.example.com/in/may%201.csv"


def test_a_path_on_an_sftp_server_may_begin_in_the_home_folder() -> None:
    assert address("sftp://host/~/in/may.csv").path == "in/may.csv"
    assert address("sftp://[::1]:22/x").host == "[::1]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"sftp://clerk:{SECRET}@host/may.csv", "holds a password; log in with a key"),
        (f"https://clerk:{SECRET}@host/may.csv", "holds a password; use an address that needs no login"),
        (f"s3://AKIA:{SECRET}@bucket/may.csv", "holds a password; put the keys into the environment"),
        (f"https://{SECRET}@host/may.csv", "must not hold a user name"),
        (f"sftp://clerk:{SECRET}/x@host/may.csv", "cannot be read; write sftp://user@host:port/folder/file"),
        (f"http://host/may.csv?key={SECRET}", "http:// is not encrypted"),
        (f"gopher://host/{SECRET}", "gopher:// is not known; give a path, s3://, sftp:// or https://"),
        (f"https://host:99999/{SECRET}", "cannot be read"),
        (f"https:///{SECRET}", "cannot be read"),
        (f"s3://{SECRET}!/x", "cannot be read; write s3://bucket/folder/file"),
        (f"https://host/{SECRET}\n", "holds control characters"),
        (f"sftp://host/{SECRET}%00", "holds control characters"),
        (f"s3://bucket/{SECRET}\udcff", "holds control characters"),
    ],
)
def test_a_refused_address_is_not_quoted(text: str, says: str) -> None:
    with pytest.raises(StorageFailed) as refused:
        read_path(text)
    assert says in refused.value.text
    assert SECRET not in refused.value.text


def test_the_query_of_an_address_is_in_no_text_of_it() -> None:
    https = address(f"https://host/may.csv?X-Amz-Signature={SECRET}")
    assert SECRET not in f"{https} {https!r} {https.name} {https.stem}"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://host/a%2F..%2Fpasswd", "a_.._passwd"),
        ("https://host/in/..", "input"),
        ("https://host/%00%01", "input"),
        ("s3://bucket/a/", ""),
        ("https://host", ""),
        ("s3://bucket/" + "ä" * 300 + ".xlsx", "ä" * 97 + ".xlsx"),
        ('s3://bucket/<a>:"b"|c?.csv', "_a___b__c_.csv"),
    ],
)
def test_a_copy_is_named_as_file_systems_allow(text: str, name: str) -> None:
    assert address(text).name == name


@given(st.sampled_from(Scheme), st.text(st.characters(exclude_categories=["Cs", "Cc"])))
@example(Scheme.HTTPS, "/x/" + "a" * 250 + ".csv.backup-of-the-day-before-yesterday-evening")
def test_any_name_is_one_plain_segment_that_fits(scheme: Scheme, path: str) -> None:
    name = address(f"{scheme}://bucket/{path}").name
    assert "/" not in name
    assert "\x00" not in name
    assert name not in {".", ".."}
    assert len(name.encode()) <= LONGEST_NAME
