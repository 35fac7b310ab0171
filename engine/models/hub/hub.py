"""The model hub over HTTP: what a repository holds, and its files, resumed where a download stopped and kept only when their hash is right.

The address is HF_ENDPOINT (else huggingface.co), the token HF_TOKEN or the one that `hf auth login` stored. Files are asked for at one
commit, so that what a download began with is what it ends with. Nothing here is called unless a user asks for a model.

huggingface_hub waits for each read and not for the whole, follows redirects wherever they lead and bounds no answer, so it is not used here.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from engine.errors import BadInput, NotFound, StorageFull, Unreachable
from engine.models.entries import REPOSITORY
from engine.network.addresses import allowed_hosts
from engine.network.budget import SLICE_S, Budget, Overdue, told_to_wait

if TYPE_CHECKING:
    import httpx

ENDPOINT = "https://huggingface.co"
TRIES = 5
"""How often a transfer is taken up again without a byte of progress between."""
PAUSE_SECONDS = 1.0
"""The first wait before another try; it doubles."""
TIMEOUT_SECONDS = 15.0
"""The longest silence."""
ANSWER_SECONDS = 60.0
"""How long a listing may take in all, and a file besides the time for its bytes."""
SLOWEST = 20_000
"""Bytes a second that a file must come with; slower ones are given up, with what arrived kept."""
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
    """The connection broke, or the server is overloaded: worth another try. silent: nobody answered, so a first question is not asked again;
    pause: seconds that the server asks to be left alone."""

    def __init__(self, why: str, silent: bool = False, pause: float = 0.0) -> None:
        super().__init__(why)
        self.silent, self.pause = silent, pause


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
    """A connection; use it in a `with`. allow_hosts: hosts to ask although their addresses are refused otherwise.

    Raises Unreachable where HF_HUB_OFFLINE is set, BadInput where HF_ENDPOINT is no address. While it waits for a server, those who watch
    (`engine.network.budget.watched`) may raise to stop.
    """

    def __init__(self, allow_hosts: Iterable[str] = ()) -> None:
        from engine.network.client import Client

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
        headers = {"user-agent": "triptych"}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"  # httpx drops it when a redirect leaves the host
        self._client = Client(headers=headers, allowed=allowed_hosts(allow_hosts))

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The other hosts that redirects have led to so far."""
        return tuple(self._client.elsewhere)

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    # what there is

    def describe(self, name: str, revision: str = "main") -> Repository:
        """The files of a repository at a revision, with sizes and hashes.

        Raises BadInput on a malformed or gated name, NotFound on an unknown one, Unreachable where the hub is not there or does not answer sensibly.
        """
        checked_repository(name)
        url = f"{self.endpoint}/api/models/{name}/revision/{quote(checked_revision(revision), safe='')}?blobs=true"
        budget = self._budget()
        answer = self._tried(lambda: self._json(url, name, budget), name, budget)
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

    def where(self, repository: Repository, files: Sequence[HubFile]) -> tuple[str, ...]:
        """The other hosts that the hub sends to for files of a repository; asks for the largest only of those that the hub
        keeps apart, which speaks for the others. Raises what
        `describe` raises."""
        largest = max(files, key=lambda file: (len(file.digest) == 64, file.bytes), default=None)
        if largest is not None:
            budget = self._budget()
            self._tried(lambda: self._headers(repository, largest, budget, follow=True), repository.name, budget)
        return self.elsewhere

    def _json(self, url: str, name: str, budget: Budget) -> dict[str, Any]:
        from engine.network.client import TooLarge, unpacked

        with self._get(url, name, budget) as response:
            try:
                body = b"".join(unpacked(response, MAX_LISTING))
            except TooLarge:
                raise self._nonsense("a description of the model") from None
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
            budget = self._file_budget(file, part, tell)
            self._tried(
                lambda: self._continue(url, repository.name, file, part, budget, tell), repository.name, budget, part
            )
            if not self._right(part, file, repository):
                part.unlink(missing_ok=True)
                raise Unreachable(
                    f"{file.path} of {repository.name} arrived damaged: its hash is not the one that {self.host} names. "
                    "The file was removed; try again."
                )
            os.replace(part, target)

    def _file_budget(self, file: HubFile, part: Path, tell: Callable[[int], None]) -> Budget:
        """Time for what is not here yet; whoever hears of the bytes is asked while nothing comes, too."""

        told = time.monotonic()

        def check() -> None:
            nonlocal told
            if time.monotonic() - told >= SLICE_S:
                told = time.monotonic()
                tell(_size(part))

        return Budget.of(self.host, ANSWER_SECONDS + max(0, file.bytes - _size(part)) / SLOWEST, check)

    def _continue(
        self, url: str, name: str, file: HubFile, part: Path, budget: Budget, tell: Callable[[int], None]
    ) -> None:
        from engine.network.client import unpacked

        have = _size(part)
        if have > file.bytes:
            part.unlink()
            have = 0
        if have == file.bytes and part.exists():
            tell(have)
            return
        with self._get(url, name, budget, {"range": f"bytes={have}-"} if have else {}) as response:
            if response.headers.get("content-type", "").startswith("text/html"):
                part.unlink(missing_ok=True)
                raise self._nonsense(f"the file {file.path}")
            at = have if _begins_at(response, have) else 0  # a server may answer a range with the whole file
            with part.open("r+b" if at else "wb") as stream:
                stream.seek(at)
                for chunk in unpacked(response, None):
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
        digest = file.digest
        if not digest:
            budget = self._budget()
            digest = self._tried(lambda: self._digest(repository, file, budget), repository.name, budget)
        return content_digest(path, len(digest)) == digest

    def _digest(self, repository: Repository, file: HubFile, budget: Budget) -> str:
        """The hash in the headers of a file, for mirrors whose listings have none."""
        headers = self._headers(repository, file, budget, follow=False)
        for header in ("x-linked-etag", "etag"):
            value = headers.get(header, "").removeprefix("W/").strip('"')
            if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value):
                return str(value)
        raise Unreachable(f"{self.host} names no hash for {file.path}, so the file cannot be verified and is not used.")

    # requests

    def _budget(self) -> Budget:
        """Time for a question whose answer is small."""
        return Budget.of(self.host, ANSWER_SECONDS)

    def _headers(self, repository: Repository, file: HubFile, budget: Budget, *, follow: bool) -> httpx.Headers:
        url = f"{self.endpoint}/{repository.name}/resolve/{repository.commit}/{quote(file.path)}"
        with self._get(url, repository.name, budget, method="HEAD", follow=follow) as response:
            return response.headers

    @contextmanager
    def _get(
        self,
        url: str,
        name: str,
        budget: Budget,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        follow: bool = True,
    ) -> Iterator[httpx.Response]:
        asked = self._client.stream(method, url, budget, silent_s=TIMEOUT_SECONDS, follow=follow, headers=headers)
        with self._errors(name), asked as response:
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
            raise Broken(f"it answered {status}", pause=told_to_wait(response.headers.get("retry-after", "")))
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

    def _tried(self, ask: Callable[[], Any], name: str, budget: Budget, part: Path | None = None) -> Any:
        """Ask, and ask again where the connection breaks; progress on `part` starts the count anew, but not the budget.

        Raises Unreachable at last, without a `part` at once where nobody answers; what the budget's check raises, also while it waits.
        """
        left, pause, have = TRIES, PAUSE_SECONDS, -1
        while True:
            try:
                return ask()
            except Overdue as error:
                raise self._overdue(name, budget, part) from error
            except Broken as error:
                now = 0 if part is None else _size(part)
                if part is not None and now > have:
                    left, pause, have = TRIES, PAUSE_SECONDS, now
                left -= 1
                late = time.monotonic() + max(pause, error.pause) >= budget.ends
                if left <= 0 or late or (part is None and error.silent):
                    asked = f", and asks to be left alone for {error.pause:,.0f} s" if error.pause else ""
                    raise Unreachable(
                        f"{self.host} cannot be reached for {name} ({error}{asked}). Check the connection, or HF_ENDPOINT, and try again; "
                        f"a model in a local folder can be added without it.{_kept(part)}"
                    ) from error
                budget.sleep(max(pause, error.pause))
                pause *= 2

    def _overdue(self, name: str, budget: Budget, part: Path | None) -> Unreachable:
        slow = f", which is less than {SLOWEST:,} bytes a second" if part is not None else ""
        return Unreachable(
            f"{self.host} did not give what was asked of {name} within {budget.seconds:,.1f} s{slow}. Try again later, or another mirror in "
            f"HF_ENDPOINT.{_kept(part)}"
        )

    def _nonsense(self, wanted: str) -> Unreachable:
        return Unreachable(
            f"{self.endpoint} answered with something else than {wanted}. A login page or a proxy may stand between; "
            "open the address in a browser, or check HF_ENDPOINT. Nothing was kept."
        )


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _kept(part: Path | None) -> str:
    """What to say of a download that is given up."""
    return " What arrived is kept, and the download goes on from there." if part is not None and _size(part) else ""


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
