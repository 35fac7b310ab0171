"""The server as a child process, and the page's way of talking to it."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
CALL, UPLOAD = "/gradio_api/component_server", "/gradio_api/upload"
START_SECONDS, STOP_SECONDS, ANSWER_SECONDS, ORPHAN_SECONDS = 300, 120, 300, 30
HIT = re.compile(r'data-hit data-doc="([^"]*)"')
LISTED = re.compile(r'data-hit data-doc="([^"]*)"[^>]* aria-label="[^"]*?\. ([^"]*)"')
JOB = re.compile(r'data-job="(\w+)" data-status="(\w+)">.*?class="job-label"[^>]*>([^<]*)<(.*?)(?=<li|\Z)', re.DOTALL)
ERROR = re.compile(r'class="box box-error".*?<p dir="auto">(.*?)</p>', re.DOTALL)


class CutOff(Exception):
    """The server went away before it answered."""


class Wrong(Exception):
    """An answer that no server may give."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the page's one function."""

    data: dict[str, Any]

    @property
    def failed(self) -> bool:
        """Whether nothing was done."""
        return bool(self.data.get("failed"))

    @property
    def busy(self) -> bool:
        """Whether it was turned away because the line was full."""
        return self.failed and "Other requests are still running" in self.say

    @property
    def say(self) -> str:
        """What is read out; of a failure the reason."""
        return str(self.data.get("say", ""))

    @property
    def url(self) -> str:
        """The address that the page has now."""
        return str(self.data.get("url") or "")

    @property
    def html(self) -> str:
        """All regions."""
        return "\n".join(self.data.get("regions", {}).values())

    def region(self, name: str) -> str:
        """One region; empty where it did not change."""
        return str(self.data.get("regions", {}).get(name, ""))

    def hits(self) -> list[str]:
        """The documents of all lists of hits."""
        return [html.unescape(one) for one in HIT.findall(self.html)]

    def listed(self) -> list[tuple[str, str]]:
        """The documents of all lists of hits, with their titles."""
        return [(html.unescape(one), html.unescape(title)) for one, title in LISTED.findall(self.html)]

    def jobs(self) -> list[tuple[str, str, str, str]]:
        """Id, status, label and error of the jobs in the table, newest first."""
        found = JOB.findall(self.region("tp-jobs") or self.region("tp-main"))
        return [(job, status, html.unescape(label), plain(error(rest))) for job, status, label, rest in found]

    def download(self) -> str:
        """The file that came along, as text."""
        file = self.data.get("download") or {}
        return str(file.get("text") or file.get("base64") or "")


def error(text: str) -> str:
    """What the first error box of a piece of a page says; empty without one."""
    found = ERROR.search(text)
    return found.group(1) if found else ""


def plain(text: str) -> str:
    """A piece of a page as text."""
    return html.unescape(re.sub(r"<[^>]+>", "", text))


class Page:
    """One open page: keeps its cookies, as a browser does. Close it, or use it in `with`. A server that was started since knows none of them."""

    def __init__(self, server: Server) -> None:
        self._server, self._address = server, server.address
        self._http = httpx.Client(
            base_url=httpx.URL(self._address).join("/"), follow_redirects=True, timeout=ANSWER_SECONDS, trust_env=False
        )
        try:
            self._ask("GET", self._address)  # the address may carry a token, which becomes a cookie
            parts = self._ask("GET", "/config").json()["components"]
        except BaseException:
            self._http.close()
            raise
        self._component = next(part["id"] for part in parts if part["type"] == "html")

    def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **content)
        except httpx.TimeoutException as late:
            raise Wrong(f"no answer from {path.split('?')[0]} in {ANSWER_SECONDS} s") from late
        except httpx.TransportError as gone:
            raise CutOff(str(gone)) from gone
        if answer.status_code == 401 and self._address != self._server.address:
            raise CutOff("another server has taken the place of the one that this page is of")
        if answer.status_code != 200:
            raise Wrong(f"{answer.status_code} from {path.split('?')[0]}: {answer.text[:200]}")
        return answer

    def act(self, action: str, url: str = "", **args: Any) -> Reply:
        """Call an action. Raises CutOff; Wrong for what no server may answer."""
        data = {"action": action, "url": url, "args": args}
        body = {"data": data, "component_id": self._component, "session_hash": "soak", "fn_name": "call"}
        reply = Reply(self._ask("POST", CALL, json=body).json())
        if "fault of Triptych" in reply.say or "fault of Triptych" in reply.html:
            raise Wrong(f"{action}: {reply.say}")
        return reply

    def upload(self, name: str, content: str) -> str:
        """Send a file; gives its path on the server."""
        return str(self._ask("POST", UPLOAD, files={"files": (name, content.encode())}).json()[0])

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Server:
    """The program, serving one workspace until it is stopped or killed, any number of times."""

    def __init__(self, workspace: Path, logs: Path) -> None:
        self.workspace = workspace
        self.address = ""
        self.lives = 0
        self.ending = False
        """Whether it was told to end: what it has not answered then, it may cut off in any way."""
        self._logs = logs
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it has told its address. Raises Wrong."""
        self.lives += 1
        self.address, self.ending = "", False
        command = [sys.executable, "-m", "app", "ui", "--no-browser", "--json", "--workspace", str(self.workspace)]
        with self._log("out").open("wb") as out, self._log("err").open("wb") as err:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=err, stdin=subprocess.DEVNULL, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.address = json.loads(self._log("out").read_text())["address"]
                return
            except ValueError:
                time.sleep(0.1)
        raise Wrong(f"it did not start again by itself (exit code {self._process.poll()}): {self.errors()[-600:]}")

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def end(self, how: signal.Signals) -> list[str]:
        """Send a signal and wait for the end of the process and its children; gives what was wrong with that end."""
        process = self._process
        assert process is not None
        wrong = [f"it had ended by itself with {process.returncode}"] if process.poll() is not None else []
        self.ending = True
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            wrong.append(f"it did not end within {STOP_SECONDS} s of {how.name}")
            process.kill()
            process.wait()
        wrong += [f"a child process was left: {one}" for one in self._orphans(process.pid)]
        text = self.errors()
        if "Traceback" in text:
            wrong.append("a traceback: " + text[text.index("Traceback") :][:1500])
        else:
            for kind in ("out", "err"):
                self._log(kind).unlink()
        return wrong

    def _orphans(self, group: int) -> list[str]:
        """Processes of its group that outlived it by more than a while; they are ended."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while (left := _group(group)) and time.monotonic() < deadline:
            time.sleep(0.2)
        if left:
            os.killpg(group, signal.SIGKILL)
        return left

    def errors(self) -> str:
        """What it wrote to standard error since its start."""
        return self._log("err").read_text(errors="replace")

    def rss(self) -> int:
        """Bytes of memory that it holds; 0 when it is not running."""
        if self._process is None:
            return 0
        found = _ps("-o", "rss=", "-p", str(self._process.pid)).strip()
        return int(found) * 1024 if found else 0

    def _log(self, kind: str) -> Path:
        return self._logs / f"life-{self.lives:03}.{kind}"


def _ps(*options: str) -> str:
    return subprocess.run(["ps", *options], capture_output=True, text=True).stdout


def _group(group: int) -> list[str]:
    rows = (line.split(None, 2) for line in _ps("-A", "-o", "pgid=,stat=,args=").splitlines())
    return [row[2] for row in rows if len(row) == 3 and row[0] == str(group) and not row[1].startswith("Z")]
