"""A compliance officer in headless Chromium: log in, find a study, read the task's log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.plugins.conftest import Running
from tests.plugins.made_up import HOSTILE, NO_MODEL, QUARANTINED, REPORTED

pytestmark = [pytest.mark.server, pytest.mark.e2e]

Page = Any
WAIT_MS = 60_000
#: The page needs no other machine, and Chromium shall ask none.
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
)


@pytest.fixture(scope="module")
def browser(need_program: Callable[[str], str]) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = need_program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(SWITCHES))
        yield browser
        browser.close()


@pytest.fixture
def officer(browser: Any, running: Running) -> Iterator[Page]:
    """A window of Airflow, logged in by its own form; a refused script fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    context.set_default_timeout(WAIT_MS)
    window = context.new_page()
    complaints: list[str] = []
    window.on("pageerror", lambda error: complaints.append(str(error)))
    window.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
    window.on("console", lambda message: complaints.append(message.text))
    window.goto(running.base)
    window.locator("input[name=username]").fill("officer")
    window.locator("input[name=password]").fill(running.installation.passwords["officer"])
    window.locator("button[type=submit]").click()
    yield window
    context.close()
    refused = ("Content Security Policy", "Blocked", "Unsafe attempt", "a dialog")
    assert not [text for text in complaints if any(sign in text for sign in refused)]


def open_list(window: Page) -> Any:
    """Follows the navigation; gives the frame of the page."""
    window.get_by_role("link", name="Hounsfield").first.click()
    frame = window.frame_locator("iframe[title=Hounsfield]")
    frame.get_by_role("heading", name="Studies").wait_for()
    return frame


def open_study(window: Page, key: str = REPORTED) -> Any:
    frame = open_list(window)
    frame.get_by_role("link", name=key).click()
    frame.get_by_role("heading", name="Timeline").wait_for()
    return frame


def assert_log_is_read(window: Page, running: Running) -> None:
    window.get_by_text("The audit trail is").wait_for()
    assert f"/dags/{running.run.dag_id}/runs/manual__" in window.url
    assert f"/tasks/{running.run.task_id}" in window.url


def test_from_the_log_in_to_the_log(officer: Page, running: Running) -> None:
    frame = open_study(officer)
    frame.get_by_role("link", name="log of verify").first.click()
    assert_log_is_read(officer, running)
    # And back again: the frame opens the study that was left.
    officer.go_back()
    frame = officer.frame_locator("iframe[title=Hounsfield]")
    frame.get_by_role("heading", name=REPORTED).wait_for()


def test_from_the_page_by_itself(officer: Page, running: Running) -> None:
    officer.get_by_role("link", name="Hounsfield").first.wait_for()
    officer.goto(f"{running.base}/hounsfield/studies/{REPORTED}")
    officer.get_by_role("link", name="log of verify").first.click()
    assert_log_is_read(officer, running)


@pytest.mark.parametrize("gesture", [{"modifiers": ["Control"]}, {"button": "middle"}])
def test_a_log_opens_beside_the_study(
    officer: Page, running: Running, gesture: dict[str, Any]
) -> None:
    frame = open_study(officer)
    with officer.context.expect_page() as opened:
        frame.get_by_role("link", name="log of verify").first.click(**gesture)
    assert_log_is_read(opened.value, running)
    assert frame.get_by_role("heading", name=REPORTED).is_visible()


def test_a_model_opens_in_mlflow_beside_the_study(officer: Page) -> None:
    frame = open_study(officer)
    with officer.context.expect_page() as opened:
        frame.get_by_title("In MLflow").click()
    assert opened.value.url.endswith("/#/models/lung_nodule/versions/3")


def test_a_run_opens_in_airflow(officer: Page, running: Running) -> None:
    frame = open_study(officer)
    frame.get_by_role("link", name=running.run.run_id, exact=True).first.click()
    officer.wait_for_url(f"**/dags/{running.run.dag_id}/runs/manual__*")


def test_searching(officer: Page) -> None:
    frame = open_list(officer)
    frame.get_by_label("Body part").fill("chest")
    frame.get_by_role("button", name="Search").click()
    frame.get_by_role("link", name="Clear").wait_for()
    assert frame.get_by_role("link", name=NO_MODEL).count() == 0
    frame.get_by_role("link", name="quarantined").click()
    frame.locator("a[aria-current=page]", has_text="quarantined").wait_for()
    assert frame.locator("tbody tr").count() == 1
    assert frame.get_by_role("link", name=QUARANTINED).is_visible()
    frame.get_by_role("link", name="Clear").click()
    frame.get_by_role("link", name=NO_MODEL).click()
    frame.get_by_text(HOSTILE, exact=True).wait_for()


def test_the_page_wears_airflows_colours(officer: Page) -> None:
    frame = open_list(officer)
    body = frame.locator("body")

    def text_is(colour: str) -> None:
        officer.wait_for_function(
            "colour => getComputedStyle(document.querySelector('iframe')"
            ".contentDocument.body).color === colour",
            arg=colour,
        )

    body.wait_for()
    text_is("rgb(24, 33, 47)")
    officer.evaluate("document.documentElement.classList.replace('light', 'dark')")
    text_is("rgb(230, 232, 236)")
