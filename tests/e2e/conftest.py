"""Dagster's own UI on a copy of the fraud repo, and somebody who clicks through it."""

import contextlib
import os
import re
import shutil
import signal
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright
from worlds.local_servers import free_port
from worlds.places import FRAUD_REPO, ROOT, copied

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-default-apps --no-pings"
)
# Machines that run tests are small and busy; nothing here asserts how fast something is.
SOON = 60_000
RUN = 180_000


# What keeps dependencies from reporting usage must be in the project, not in somebody's shell.
SILENCERS = ("DO_NOT_TRACK", "DAGSTER_DISABLE_TELEMETRY", "FEAST_USAGE", "GX_ANALYTICS_ENABLED")


@dataclass(frozen=True)
class Server:
    """A running ``dagster dev``: webserver, daemon and code location.

    Attributes:
        url: Of the webserver.
        repo: Its feature repo, which a test may change.
        log: What its processes print.
        called: First lines of the HTTP requests its processes sent to other machines.
    """

    url: str
    repo: Path
    log: Path
    called: list[str]


@pytest.fixture(scope="module")
def called() -> Iterator[tuple[str, list[str]]]:
    """A proxy that lets nothing pass: its address, and what was asked of it."""
    lines: list[str] = []

    class Refuse(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines.append(self.rfile.readline(2000).decode(errors="replace").strip())
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refuse) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_address[1]}", lines
        proxy.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, called: tuple[str, list[str]]
) -> Iterator[Server]:
    """``dagster dev`` as ``make dev`` starts it, with a home and a feature repo of its own."""
    folder = tmp_path_factory.mktemp("ui")
    home, log = folder / "home", folder / "log"
    repo = copied(FRAUD_REPO, folder / "feature_repo")
    home.mkdir()
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", home)
    proxy, lines = called
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if name not in SILENCERS}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy)
    direct = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost")
    own = {
        "DAGSTER_HOME": str(home),
        "FEATURE_PLATFORM_REPO": str(repo),
        # What is clicked here is all that runs.
        "FEATURE_PLATFORM_AUTOMATION": "off",
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                *(Path(sys.executable).parent / "dagster", "dev", "--host", "127.0.0.1"),
                *("--workspace", ROOT / "workspace.yaml", "--port", str(port)),
            ],
            cwd=ROOT,
            env=inherited | proxies | direct | own,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_served(url, process, log)
        yield Server(url, repo, log, lines)
    finally:
        _stop(process)


def _wait_until_served(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=5):  # noqa: S310  loopback
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"dagster dev does not answer at {url}:\n{log.read_text()[-4000:]}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the group; where SIGINT is ignored, as in background jobs, Dagster ignores SIGTERM."""
    os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=QUIET.split()
        )
        yield chromium
        chromium.close()


@dataclass
class User:
    """Somebody with a browser; what the page asks of other machines is refused and noted."""

    page: Page
    server: Server
    outside: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.server.url}{path}")

    def open_asset(self, name: str, tab: str | None = None) -> None:
        """By its key without the project, then a tab by its name."""
        self.open(f"/assets/fraud_detection/{name}")
        expect(self.page.get_by_text("Latest materialization")).to_be_visible(timeout=SOON)
        if tab:
            self.page.get_by_role("tab", name=tab).click()

    def materialize(self, button: str, partition: str) -> str:
        """Press a button, choose one partition in the dialog, launch; the path of the run."""
        self.page.get_by_role("button", name=button).click()
        dialog = self.page.get_by_role("dialog")
        sure = dialog.get_by_role("button", name="Confirm")
        chosen = dialog.get_by_role("textbox").first
        expect(sure.or_(chosen)).to_be_visible(timeout=SOON)
        if sure.is_visible():  # something upstream has never been materialized
            sure.click()
        chosen.fill(partition)
        chosen.press("Enter")
        expect(dialog.get_by_text("1 partition", exact=True)).to_be_visible(timeout=SOON)
        dialog.get_by_role("button", name="Launch 1 run").click()
        view = self.page.get_by_role("link", name="View", exact=True)
        expect(self.page.get_by_text("Launched run")).to_be_visible(timeout=SOON)
        run = view.last.get_attribute("href")
        assert run is not None
        return run

    def wait_for_run(self, run: str, end: str) -> None:
        """Watch a run's page until the badge beside its id says how it ended."""
        self.open(run)
        badge = self.page.get_by_text(re.compile(r"^(Success|Failure|Canceled)$")).first
        expect(badge).to_have_text(end, timeout=RUN)

    def choose_partition(self, key: str) -> None:
        """In the list of the partitions tab; the key also stands under the status bar."""
        self.page.get_by_text(key, exact=True).filter(visible=True).last.click()

    def choose_check(self, name: str) -> None:
        """In the list of the checks tab, beside which its description then appears."""
        self.page.get_by_text(name, exact=True).filter(visible=True).first.click()

    def row(self, key: str) -> Locator:
        """A row of a table, by one of its cells."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_text(key, exact=True))


expect.set_options(timeout=SOON)


@pytest.fixture
def user(browser: Browser, server: Server) -> Iterator[User]:
    context = browser.new_context(viewport={"width": 1600, "height": 1000}, service_workers="block")
    context.set_default_timeout(SOON)
    someone = User(context.new_page(), server)

    def only_loopback(route: Route) -> None:
        if route.request.url.startswith(server.url):
            route.continue_()
        else:
            someone.outside.append(route.request.url)
            route.abort()

    context.route("**/*", only_loopback)
    try:
        yield someone
    finally:
        context.unroute_all(behavior="ignoreErrors")
        context.close()
