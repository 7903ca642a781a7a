"""The object store: bytes, files and content-addressed blobs in one bucket of any S3 (`minio` client)."""

import contextlib
import errno
import hashlib
import io
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from wire.errors import (
    AccessDenied,
    InvalidObjectName,
    LocalDiskFull,
    ObjectCorrupt,
    ObjectNotFound,
    ObjectStoreError,
    ObjectStoreFull,
    ObjectStoreUnavailable,
    ObjectStoreUnset,
)

CHUNK_BYTES = 1 << 20
PART_BYTES = 16 << 20
PAGE_KEYS = 1000
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0

MISSING = {"NoSuchKey", "NoSuchBucket", "NoSuchObject"}
DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"}
FULL = {"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"}
PASSING = {"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "OperationAborted", "Busy"}
MADE_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
SHA256 = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")


class ObjectStore:
    """One bucket of an S3 store; it is made by the first write.

    Every call tries again, with growing pauses, on broken connections and passing server errors until
    `deadline_s` after the first failure, then raises ObjectStoreUnavailable. Safe to share between
    threads, not between processes.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        access_key: str,
        secret_key: str,
        *,
        region: str = "us-east-1",
        deadline_s: float = 30.0,
    ) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path not in {"", "/"}:
            raise ObjectStoreUnset(
                f"the object store's endpoint {endpoint!r} is not of the form http://host:port: set RAPT_S3_ENDPOINT"
            )
        self.endpoint = endpoint
        self.bucket = bucket
        self.deadline_s = deadline_s
        self._region = region
        pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S), retries=False, maxsize=8
        )
        self._client = Minio(
            parts.netloc,
            access_key,
            secret_key,
            secure=parts.scheme == "https",
            region=region,
            http_client=pool,
        )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "ObjectStore":
        """The store named by RAPT_S3_ENDPOINT, RAPT_S3_BUCKET, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

        Optional: AWS_DEFAULT_REGION (us-east-1), RAPT_S3_DEADLINE_S (30). Raises ObjectStoreUnset.
        """
        env = os.environ if env is None else env
        needed = ("RAPT_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        missing = [name for name in needed if not env.get(name)]
        if missing:
            raise ObjectStoreUnset(
                f"the object store is not configured: {', '.join(missing)} not set; "
                "run `rapt up` and start this through `rapt`, or set them to your S3"
            )
        deadline = env.get("RAPT_S3_DEADLINE_S", "30")
        try:
            deadline_s = float(deadline)
        except ValueError as error:
            raise ObjectStoreUnset(f"RAPT_S3_DEADLINE_S={deadline!r} is not a number of seconds") from error
        return cls(
            env["RAPT_S3_ENDPOINT"],
            env.get("RAPT_S3_BUCKET") or "rapt",
            env["AWS_ACCESS_KEY_ID"],
            env["AWS_SECRET_ACCESS_KEY"],
            region=env.get("AWS_DEFAULT_REGION") or "us-east-1",
            deadline_s=deadline_s,
        )

    def uri(self, key: str) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{key}"

    def key(self, uri: str) -> str:
        """The key in a URI of this bucket; InvalidObjectName for any other."""
        prefix = f"s3://{self.bucket}/"
        if not uri.startswith(prefix) or len(uri) == len(prefix):
            raise InvalidObjectName(f"{uri!r} is not in this store: expected {prefix}<key>")
        return uri.removeprefix(prefix)

    def ping(self) -> None:
        """One authenticated request; raises AccessDenied or ObjectStoreUnavailable."""
        self._call("reach", "", lambda: self._client.bucket_exists(self.bucket))

    def put_bytes(self, key: str, data: bytes) -> None:
        """Store `data` under `key`; whole or not at all."""
        self._put(key, lambda: self._client.put_object(self.bucket, key, io.BytesIO(data), len(data)))

    def put_file(self, key: str, path: Path) -> None:
        """Store a file under `key`, in parts of 16 MiB when it is larger; whole or not at all."""

        def upload() -> None:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                self._client.put_object(self.bucket, key, file, size, part_size=PART_BYTES, num_parallel_uploads=1)

        self._put(key, upload)

    def get_bytes(self, key: str) -> bytes:
        """The object's bytes; raises ObjectNotFound."""

        def read() -> bytes:
            with self._open(key) as response:
                return bytes(response.read())

        return self._call("get", key, read)

    def get_file(self, key: str, path: Path) -> None:
        """Write the object to `path`, whole or not at all; raises ObjectNotFound, LocalDiskFull."""
        self._download(key, path)

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return self._size(key) is not None

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in order, fetched page by page."""
        page: Sequence[str] = [""]
        while page:
            page = self._call("list", prefix, partial(self._page, prefix, page[-1]))
            yield from page

    def versions(self, key: str) -> dict[str, str]:
        """ETags by key of the object `key`, or of all objects under `key`/: another content has another one."""
        key = key.rstrip("/")
        keys = [key] if self.exists(key) else list(self.list(f"{key}/"))
        return {found: self._stat(found).etag for found in keys}

    def delete(self, key: str) -> None:
        """Remove the object; no error when it is not there."""
        with contextlib.suppress(ObjectNotFound):
            self._call("delete", key, lambda: self._client.remove_object(self.bucket, key))

    def put_blob(self, path: Path) -> str:
        """Store a file under its sha256 unless it is there already, and return that digest in hex."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if self._size(blob_key(sha256)) != path.stat().st_size:
            self.put_file(blob_key(sha256), path)
        return sha256

    def get_blob(self, sha256: str, path: Path) -> None:
        """Write the blob to `path`; raises ObjectCorrupt, and leaves no file, when its bytes do not match."""
        self._download(blob_key(sha256), path, sha256)

    def _download(self, key: str, path: Path, sha256: str | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.part")
        try:
            digest = self._call("get", key, lambda: self._stream(key, part))
            if sha256 is not None and digest != sha256:
                raise ObjectCorrupt(
                    f"object {self.uri(key)} has sha256 {digest}, not its name's: it is damaged; "
                    "delete it and run the step that makes it again"
                )
            part.replace(path)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            raise LocalDiskFull(
                f"no space left on the disk of {path.parent} for {self.uri(key)}: free some and run again"
            ) from error
        finally:
            part.unlink(missing_ok=True)

    def _stream(self, key: str, part: Path) -> str:
        digest = hashlib.sha256()
        with self._open(key) as response, part.open("wb") as file:
            for chunk in response.stream(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    @contextlib.contextmanager
    def _open(self, key: str) -> Iterator[Any]:
        response = self._client.get_object(self.bucket, key)
        try:
            yield response
        except BaseException:
            response.close()
            raise
        finally:
            response.release_conn()

    def _size(self, key: str) -> int | None:
        try:
            size: int | None = self._stat(key).size
        except ObjectNotFound:
            return None
        return size

    def _stat(self, key: str) -> Any:
        return self._call("look up", key, lambda: self._client.stat_object(self.bucket, key))

    def _page(self, prefix: str, after: str) -> Sequence[str]:
        found = self._client.list_objects(self.bucket, prefix, recursive=True, start_after=after or None)
        try:
            return [str(entry.object_name) for entry in islice(found, PAGE_KEYS)]
        except S3Error as error:
            if error.code == "NoSuchBucket":
                return []
            raise

    def _put(self, key: str, attempt: Callable[[], object]) -> None:
        try:
            self._call("put", key, attempt)
        except ObjectNotFound:
            self._call("make", "", self._make_bucket)
            self._call("put", key, attempt)

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self.bucket, self._region)
        except S3Error as error:
            if error.code not in MADE_ALREADY:
                raise

    def _call(self, verb: str, key: str, attempt: Callable[[], T]) -> T:
        give_up_at: float | None = None
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return attempt()
            except (urllib3.exceptions.HTTPError, MinioException) as error:
                named = self._named(verb, key, error)
                if named is not None:
                    raise named from error
                now = time.monotonic()
                give_up_at = now + self.deadline_s if give_up_at is None else give_up_at
                if now >= give_up_at:
                    raise self._unavailable(verb, key, error) from error
            time.sleep(min(pause_s, give_up_at - now))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _named(self, verb: str, key: str, error: Exception) -> ObjectStoreError | None:
        """The lasting failure that `error` means, or None for one that may pass."""
        if isinstance(error, S3Error):
            status, code = error.response.status, error.code or ""
        elif isinstance(error, ServerError):
            status, code = error.status_code, ""
        elif isinstance(error, InvalidResponseError):
            status, code = error._code, ""
        else:
            return None
        what = self.uri(key)
        if code in FULL or status == 507:
            return ObjectStoreFull(f"cannot {verb} {what}: the store at {self.endpoint} is full; make room in it")
        if code in MISSING:
            return ObjectNotFound(f"no object {what} in the store at {self.endpoint}: run the step that makes it")
        if code in DENIED or status in {401, 403}:
            return AccessDenied(
                f"the store at {self.endpoint} refuses to {verb} {what} ({code or status}): "
                "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if code in PASSING or status >= 500 or status == 429:
            return None
        return ObjectStoreError(f"cannot {verb} {what} at {self.endpoint}: {code or status} {error}")

    def _unavailable(self, verb: str, key: str, error: Exception) -> ObjectStoreUnavailable:
        if isinstance(error, S3Error):
            reason = f"it answers {error.code}: {error.message}; is its disk full? See its log"
        elif isinstance(error, MinioException):
            reason = f"{error}; see its log"
        else:
            reason = f"{type(error).__name__}; is it running? Try `rapt status`, `rapt up`"
        return ObjectStoreUnavailable(
            f"cannot {verb} {self.uri(key)}: no success from {self.endpoint} within {self.deadline_s:g} s: {reason}"
        )


def blob_key(sha256: str) -> str:
    """Where a blob lies; InvalidObjectName unless `sha256` is 64 lower-case hex digits."""
    if not SHA256.fullmatch(sha256):
        raise InvalidObjectName(f"{sha256!r} is not a sha256 of 64 lower-case hex digits")
    return f"blobs/{sha256}"
