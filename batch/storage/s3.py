"""Before step 1: read a file from S3, or from what speaks its protocol.

Owns the way botocore is asked and what its exceptions mean here. Credentials, region, profile and endpoint come from
where every tool for S3 has them: the environment (AWS_*, AWS_ENDPOINT_URL), ~/.aws, or the machine's role.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from batch.storage.failures import CUT, EXTRA, SILENT, AlreadyThere, NotThere, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batch.storage.paths import RemotePath

CONNECT_S, SILENCE_S = 15, 60
ATTEMPTS = 3
BLOCK = 1 << 20

_DENIED = "access is refused, or there is no such file; check the keys (AWS_*), their rights, and the address"
_NO_KEYS = "no usable AWS credentials are found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


def copy(source: RemotePath, write: Callable[[bytes], None], tag: str | None = None) -> int:
    """Hand the file's content to `write`, block by block; return its size in bytes as S3 says it.

    One answer to one request, so that it cannot be put together from two versions of the file. `tag`: the ETag that it
    must have.

    Raises:
        StorageFailed: it cannot be read, is another version, or broke off.
    """
    condition = {} if tag is None else {"IfMatch": tag}
    with s3_client() as client, translated():
        answer = client.get_object(Bucket=source.host, Key=source.path, **condition)
        with contextlib.closing(answer["Body"]) as body:
            for block in body.iter_chunks(BLOCK):
                write(block)
        return int(answer["ContentLength"])


@contextlib.contextmanager
def s3_client() -> Iterator[Any]:
    """Give a client for S3, closed at the end."""
    try:
        import botocore.session  # noqa: PLC0415 - an extra
        from botocore.config import Config  # noqa: PLC0415
    except ImportError:
        raise StorageFailed(f"s3:// {EXTRA}") from None
    patience = Config(
        connect_timeout=CONNECT_S,
        read_timeout=SILENCE_S,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
    )
    with translated():
        session = botocore.session.get_session()
        session.register_component("data_loader", _descriptions())
        client = session.create_client("s3", config=patience)
    with contextlib.closing(client):
        yield client


@functools.cache
def _descriptions() -> Any:
    """Return botocore's descriptions of S3, read once: they cost six times what the rest of a client does."""
    import botocore.session  # noqa: PLC0415

    return botocore.session.get_session().get_component("data_loader")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn botocore's exceptions into ours."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        raise _refusal(error.response) from None
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no address
        raise StorageFailed(_meaning(error)) from None


def _refusal(response: dict[str, Any]) -> StorageFailed:
    """Return what an answer of S3 means. Source: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in {"NoSuchKey", "NoSuchBucket"} or status == 404:
        return NotThere(f"there is no such {'bucket' if code == 'NoSuchBucket' else 'file'}; check the address")
    if status in {409, 412}:
        return AlreadyThere("another version of it has been written meanwhile")
    if status in {401, 403}:
        return StorageFailed(f"{_DENIED} ({code})")
    if code == "InvalidObjectState":
        return StorageFailed("it is archived; restore it first")
    return StorageFailed(f"S3 answers {code} (HTTP {status}); try again later, or ask who runs it")


def _meaning(error: Exception) -> str:
    from botocore import exceptions  # noqa: PLC0415

    match error:
        case exceptions.SSLError():
            return "the server's certificate is not trusted; check AWS_ENDPOINT_URL, or set AWS_CA_BUNDLE"
        case (
            exceptions.EndpointConnectionError() | exceptions.ConnectTimeoutError() | exceptions.ProxyConnectionError()
        ):
            return "S3 cannot be reached; check the region, AWS_ENDPOINT_URL and the network"
        case exceptions.ReadTimeoutError():
            return SILENT
        case exceptions.IncompleteReadError() | exceptions.ResponseStreamingError() | exceptions.HTTPClientError():
            return CUT
        case (
            exceptions.NoCredentialsError()
            | exceptions.PartialCredentialsError()
            | exceptions.CredentialRetrievalError()
            | exceptions.ProfileNotFound()
        ):
            return _NO_KEYS
        case _:
            return (
                f"S3 cannot be asked ({type(error).__name__}); check the AWS settings of this machine and the address"
            )
