"""The model hub over HTTP: what a repository holds, and its files, resumed where a download stopped and kept only when their hash is right.

The address is HF_ENDPOINT (else huggingface.co), the token HF_TOKEN or the one that `hf auth login` stored. Files are asked for at one
commit, so that what a download began with is what it ends with. Nothing here is called unless a user asks for a model.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from engine.errors import BadInput, NotFound, StorageFull, Unreachable
from engine.models.entries import REPOSITORY

if TYPE_CHECKING:
    import httpx

ENDPOINT = "https://huggingface.co"
TRIES = 5
"""How often a transfer is taken up again without a byte of progress between."""
PAUSE_SECONDS = 1.0
"""The first wait before another try; it doubles."""
TIMEOUT_SECONDS, CONNECT_SECONDS = 15.0, 5.0
SLICE_SECONDS = 0.2
"""How often someone who waits for another try may call it off."""
MAX_LISTING = 20_000_000
MAX_PATH = 200
_TRUE = ("1", "true", "yes", "on")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository. `digest` is its sha256 (64 hex digits) or its git hash (40), "" where the listing names none."""

    path: str
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit."""

    name: str
    commit: str
    files: tuple[HubFile, ...]
    licence: str = ""
    gated: bool = False


class Broken(Exception):
    """The connection broke, or the server is overloaded: worth another try. silent: nobody answered, so a first question is not asked again."""

    def __init__(self, why: str, silent: bool = False) -> None:
        super().__init__(why)
        self.silent = silent


def checked_repository(name: str) -> str:
    """A repository's name as the hub writes them, OWNER/NAME. Raises BadInput."""
    if not re.fullmatch(REPOSITORY, name) or ".." in name:
        raise BadInput(
            f"{name[:120]!r} is no model of the hub; they are written OWNER/NAME, like BAAI/bge-small-en-v1.5."
        )
    return name


def checked_revision(revision: str) -> str:
    """A branch, tag or commit. Raises BadInput."""
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise BadInput(f"{revision[:120]!r} is no revision; give a branch, a tag or a commit.")
    return revision


def safe_path(path: str) -> bool:
    """Whether a path that a server named stays below the folder it is put in."""
    plain = re.fullmatch(r"[A-Za-z0-9._/ +@()-]+", path) is not None and len(path) <= MAX_PATH
    return plain and all(part not in ("", ".", "..") for part in path.split("/"))


class Hub:
    """A connection; use it in a `with`. Raises Unreachable where HF_HUB_OFFLINE is set, BadInput where HF_ENDPOINT is no address."""

    def __init__(self) -> None:
        import httpx

        if os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
            raise Unreachable(
                "HF_HUB_OFFLINE is set, so nothing is downloaded. Unset it, or add a model from a local folder."
            )
        self.endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(
                f"HF_ENDPOINT is {self.endpoint!r}; it must be an address that begins with https:// or http://."
            )
        self.host = parts.hostname
        self._token = _token()
        headers = {"user-agent": "triptych", "accept-encoding": "identity"}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"  # httpx drops it when a redirect leaves the host
        timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.Client(headers=headers, follow_redirects=True, timeout=timeout)

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # what there is

    def describe(self, name: str, revision: str = "main") -> Repository:
        """The files of a repository at a revision, with sizes and hashes.

        Raises BadInput on a malformed or gated name, NotFound on an unknown one, Unreachable where the hub is not there or does not answer sensibly.
        """
        checked_repository(name)
        url = f"{self.endpoint}/api/models/{name}/revision/{quote(checked_revision(revision), safe='')}?blobs=true"
        answer = self._tried(lambda: self._json(url, name), name)
        commit = answer.get("sha")
        siblings = answer.get("siblings")
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit) or not isinstance(siblings, list):
            raise self._nonsense("a description of the model")
        files = [file for item in siblings if (file := _hub_file(item)) is not None]
        card = answer.get("cardData")
        licence = card.get("license") if isinstance(card, dict) else ""
        return Repository(
            name, commit, tuple(files), licence if isinstance(licence, str) else "", bool(answer.get("gated"))
        )

    def _json(self, url: str, name: str) -> dict[str, Any]:
        with self._get(url, name) as response:
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_LISTING:
                    raise self._nonsense("a description of the model")
        try:
            import orjson

            answer = orjson.loads(body)
        except ValueError:
            raise self._nonsense("a description of the model") from None
        if not isinstance(answer, dict):
            raise self._nonsense("a description of the model")
        return answer

    # files

    def fetch(self, repository: Repository, file: HubFile, target: Path, tell: Callable[[int], None]) -> None:
        """Download one file to `target`, which appears when it is whole and right. `tell` hears how many bytes are here and may raise to stop.

        What arrived before an interruption stays in `target`.part and is continued; a wrong or foreign answer is removed.
        Raises Unreachable (broken connection, wrong content), StorageFull, and what `describe` raises.
        """
        if target.is_file() and target.stat().st_size == file.bytes and self._right(target, file, repository):
            tell(file.bytes)
            return
        part = target.with_name(target.name + ".part")
        url = f"{self.endpoint}/{repository.name}/resolve/{repository.commit}/{quote(file.path)}"
        with _room(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            self._tried(lambda: self._continue(url, repository.name, file, part, tell), repository.name, part, tell)
            if not self._right(part, file, repository):
                part.unlink(missing_ok=True)
                raise Unreachable(
                    f"{file.path} of {repository.name} arrived damaged: its hash is not the one that {self.host} names. "
                    "The file was removed; try again."
                )
            os.replace(part, target)

    def _continue(self, url: str, name: str, file: HubFile, part: Path, tell: Callable[[int], None]) -> None:
        have = part.stat().st_size if part.exists() else 0
        if have > file.bytes:
            part.unlink()
            have = 0
        if have == file.bytes and part.exists():
            tell(have)
            return
        with self._get(url, name, {"range": f"bytes={have}-"} if have else {}) as response:
            if response.headers.get("content-type", "").startswith("text/html"):
                part.unlink(missing_ok=True)
                raise self._nonsense(f"the file {file.path}")
            at = have if _begins_at(response, have) else 0  # a server may answer a range with the whole file
            with part.open("r+b" if at else "wb") as stream:
                stream.seek(at)
                for chunk in response.iter_bytes():
                    at += len(chunk)
                    if at > file.bytes:
                        stream.truncate(0)
                        raise Unreachable(
                            f"{file.path} of {name} is larger than {self.host} announced; it was removed. Try again."
                        )
                    stream.write(chunk)
                    tell(at)
                stream.flush()
                os.fsync(stream.fileno())
        if at < file.bytes:
            raise Broken(f"the connection ended after {at:,} of {file.bytes:,} bytes")

    def _right(self, path: Path, file: HubFile, repository: Repository) -> bool:
        """Whether a file's content is the one that the hub names. Raises Unreachable where it names none."""
        digest = file.digest or self._tried(lambda: self._digest(repository, file), repository.name)
        return content_digest(path, len(digest)) == digest

    def _digest(self, repository: Repository, file: HubFile) -> str:
        """The hash in the headers of a file, for mirrors whose listings have none."""
        url = f"{self.endpoint}/{repository.name}/resolve/{repository.commit}/{quote(file.path)}"
        with self._errors(repository.name):
            response = self._http.head(url, follow_redirects=False)
            self._refuse(response, repository.name)
        for header in ("x-linked-etag", "etag"):
            value = response.headers.get(header, "").removeprefix("W/").strip('"')
            if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value):
                return str(value)
        raise Unreachable(f"{self.host} names no hash for {file.path}, so the file cannot be verified and is not used.")

    # requests

    @contextmanager
    def _get(self, url: str, name: str, headers: dict[str, str] | None = None) -> Iterator[httpx.Response]:
        with self._errors(name), self._http.stream("GET", url, headers=headers or {}) as response:
            self._refuse(response, name)
            yield response

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        import httpx

        try:
            yield
        except (httpx.TooManyRedirects, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Unreachable(f"{self.host} sends requests for {name} in circles or elsewhere ({error}).") from error
        except httpx.HTTPError as error:
            silent = isinstance(error, httpx.TimeoutException | httpx.ConnectError)
            raise Broken(str(error) or type(error).__name__, silent) from error

    def _refuse(self, response: httpx.Response, name: str) -> None:
        """Turn a status that is not a success into what the user can do about it."""
        status, code = response.status_code, response.headers.get("x-error-code", "")
        if status < 400:
            return
        if status in (408, 429) or (status >= 500 and status != 501):
            raise Broken(f"it answered {status}")
        if code == "GatedRepo" or status == 403:
            raise BadInput(
                f"{name} is gated: accept its terms at {self.endpoint}/{name}, then set HF_TOKEN to a token of your account and try again."
            )
        if code == "RevisionNotFound":
            raise NotFound(f"{name} has no such revision on {self.host}.")
        if status in (401, 404):
            private = (
                "" if status == 404 or self._token else " If it is private, set HF_TOKEN to a token of your account."
            )
            raise NotFound(f"There is no model {name!r} on {self.host}. Check owner and name.{private}")
        raise Unreachable(f"{self.host} answered {status} when asked for {name}. Try again later.")

    def _tried(
        self,
        ask: Callable[[], Any],
        name: str,
        part: Path | None = None,
        tell: Callable[[int], None] = lambda _: None,
    ) -> Any:
        """Ask, and ask again where the connection breaks; progress on `part` starts the count anew.

        `tell` is called while it waits, and may raise to stop. Raises Unreachable at last; without a `part` at once where nobody answers.
        """
        left, pause, have = TRIES, PAUSE_SECONDS, -1
        while True:
            try:
                return ask()
            except Broken as error:
                now = part.stat().st_size if part is not None and part.exists() else 0
                if part is not None and now > have:
                    left, pause, have = TRIES, PAUSE_SECONDS, now
                left -= 1
                if left <= 0 or (part is None and error.silent):
                    kept = " What arrived is kept, and the download goes on from there." if now else ""
                    raise Unreachable(
                        f"{self.host} cannot be reached for {name} ({error}). Check the connection, or HF_ENDPOINT, and try again; "
                        f"a model in a local folder can be added without it.{kept}"
                    ) from error
                _wait(pause, partial(tell, now))
                pause *= 2

    def _nonsense(self, wanted: str) -> Unreachable:
        return Unreachable(
            f"{self.endpoint} answered with something else than {wanted}. A login page or a proxy may stand between; "
            "open the address in a browser, or check HF_ENDPOINT. Nothing was kept."
        )


def _wait(seconds: float, call: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, SLICE_SECONDS))
        call()


def content_digest(path: Path, digits: int) -> str:
    """Hex digest of a file: sha256 (64 digits), or git's hash of it (40)."""
    git = digits == 40
    digest = hashlib.sha1(usedforsecurity=False) if git else hashlib.sha256()
    if git:
        digest.update(b"blob %d\x00" % path.stat().st_size)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _hub_file(item: Any) -> HubFile | None:
    """One entry of a listing; None where its name or size could not be trusted."""
    if not isinstance(item, dict) or not isinstance(item.get("rfilename"), str) or not safe_path(item["rfilename"]):
        return None
    lfs = item.get("lfs") if isinstance(item.get("lfs"), dict) else None
    size = (lfs or {}).get("size", item.get("size"))
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        return None
    digest = (lfs or {}).get("sha256") or ("" if lfs else item.get("blobId"))
    known = isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", digest)
    return HubFile(item["rfilename"], size, str(digest) if known else "")


def _begins_at(response: httpx.Response, have: int) -> bool:
    """Whether the answer continues what is here; False where it is the whole file."""
    return response.status_code == 206 and response.headers.get("content-range", "").startswith(f"bytes {have}-")


@contextmanager
def _room(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"The disk is full while {target.name} is downloaded. Free some space; the download then goes on where it stopped."
            ) from error
        raise


def _token() -> str:
    named = os.environ.get("HF_TOKEN", "").strip()
    if named:
        return named
    from huggingface_hub import get_token

    return get_token() or ""
