"""A browser, and the site that it looks at."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.examples.web.browser.site import WAIT, Site, Visitor, running_site, visiting

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser: for a file of tests, as playwright's event loop must not stay behind for the next one."""
    if not Path(CHROMIUM).exists():
        pytest.skip("there is no Chromium: apt-get install chromium")
    expect.set_options(timeout=WAIT)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve the front end."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with running_site(valkey_url, tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def ann(browser: Browser, site: Site) -> Iterator[Visitor]:
    """Sign somebody in."""
    with visiting(browser, site) as visitor:
        yield visitor


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Return where screenshots go: the folder that SCREENSHOTS names, else one that is thrown away."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
