"""The status page in a real Chromium: what it shows is what is so, and nothing on it is dangerous or out of reach."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from apidanalytics.layout import DataDirectory
from apidanalytics.model import StagedFile
from apidanalytics.upload.ledger import Ledger
from tests.acceptance.administration import Administration, administration_of
from tests.harness import ROOT, ServiceProcess, wait_until
from tests.integration.faulty_store import TOKEN, FaultyStore

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=30_000)  # a chart needs two readings, and a slow machine its time
PICTURES = "APIDANALYTICS_PICTURES"
"""Set it to anything to have the pictures of the documentation made anew."""
RECORD = {"client_received_start_timestamp": 1700000000000}
ACME = "7b1c4b9e-2a51-4a6b-9f0e-3d1f6f0f2c11"
SCOPES = ["testid", ACME, "c2a7e0d4-58f3-4c19-8b6a-91e47d20b3f5", "0e94f6b1-7d3c-42a8-a5e2-6c8b15f97d40"]
MANY = 5000
HOSTILE = [
    "<img src=x onerror=window.hacked=1>~<script>window.hacked=1</script>",
    "\"'></td><svg onload=window.hacked=1>~prod",
    "../../etc~passwd",
    "javascript:window.hacked=1~{{7*7}}",
    "%3Cscript%3E~\u202eprod",
]


@pytest.fixture(scope="module")
def browser(require_tool) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_tool("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """A page that fails the test when it errs, breaks its own policy, or asks anybody else for anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: errors.append(request.url) if "//127.0.0.1:" not in request.url else None)
    yield page
    context.close()
    assert errors == []


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="apa-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def a_service(directory: Path, free_port, **settings) -> ServiceProcess:
    given = {
        "local_storage_path": directory,
        "api_listen": f"127.0.0.1:{free_port()}",
        "apidanalytics_admin_listen": f"127.0.0.1:{free_port()}",
        "apidanalytics_workers": 1,
        "apidanalytics_collection_interval": 1,
    }
    return ServiceProcess({**given, **settings})


@pytest.fixture(scope="module")
def store(home, free_port):
    with FaultyStore(home / "objects", free_port()) as store:
        store.start()
        yield store


@pytest.fixture(scope="module")
def service(home, store, free_port) -> Iterator[ServiceProcess]:
    """A service that nobody has sent anything to yet."""
    service = a_service(
        home / "fresh",
        free_port,
        apidanalytics_uap_server_base=store.url,
        apigeesync_bearer_token=TOKEN,
        apidanalytics_upload_attempts=1,
        apidanalytics_workers=2,
    )
    try:
        service.start()
        yield service
    finally:
        service.close()


@pytest.fixture(scope="module")
def crowded(home, free_port) -> Iterator[Administration]:
    """A service whose ledger knows thousands of tenants, some of them with names from hell."""
    directory = home / "crowded"
    data = DataDirectory(directory / "ax")
    data.create()
    names = [f"org{number:04d}~prod" for number in range(MANY)] + HOSTILE
    with Ledger.open(data.ledger, data.damaged, 1_700_000_000.0) as ledger:
        ledger.accepted(1, {name: (number + 1, 100) for number, name in enumerate(names)})
        ledger.stage([a_file(name, number) for number, name in enumerate(names)], 1_700_000_000.0)
        ledger.uploaded({number + 1: None for number in range(len(names))}, 1_700_000_100.0)
        ledger.packed(1, 1_700_000_000.0)
    service = a_service(directory, free_port)
    try:
        service.start()
        yield administration_of(service)
    finally:
        service.close()


def a_file(tenant: str, number: int) -> StagedFile:
    return StagedFile(
        directory=f"d{number}",
        name=f"f{number}",
        tenant=tenant,
        start_at=1_700_000_000,
        records=number + 1,
        bytes=100,
        size_bytes=50,
        sha256="0" * 64,
    )


def is_accessible(page: Page) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def picture(page: Page, name: str) -> None:
    if os.environ.get(PICTURES):
        page.screenshot(path=ROOT / "docs/images" / f"{name}.png", full_page=False)


def test_from_nothing_to_a_tenant_in_trouble_the_numbers_are_those_of_the_service(page, service, store):
    admin = administration_of(service)
    page.goto(admin.url)
    expect(page.locator("[data-verdict]")).to_have_attribute("data-verdict", "well")
    expect(page.get_by_role("heading", name="All is well")).to_be_visible()
    page.goto(f"{admin.url}/#/tenants")
    expect(page.get_by_text("No tenant has sent anything yet.")).to_be_visible()

    page.goto(f"{admin.url}/#/")
    store.put_status = {"acme~prod": 403}
    sent = 0
    for turn in range(24):
        for scope in SCOPES:
            assert service.post(scope, [RECORD] * (turn + 1))[0] == 200
            sent += turn + 1
    accepted = page.locator('[data-state="accepted"]')
    expect(accepted).to_have_attribute("data-records", str(sent))
    refused = sent // len(SCOPES)
    expect(page.locator('[data-state="uploaded"]')).to_have_attribute("data-records", str(sent - refused))
    expect(page.locator('[data-state="failed"]')).to_have_attribute("data-records", str(refused))
    expect(page.locator("[data-verdict]")).to_have_attribute("data-verdict", "warning")
    warning = page.locator(".finding", has_text="Uploads for acme~prod have failed for")
    expect(warning).to_contain_text("the object store answered 403")

    def totals():
        found = admin.get("/api/status")["totals"]
        return found["accepted"]["records"], found["failed"]["records"]

    # After a success of others what failed is tried once more, and is not among the failed for that moment.
    wait_until(lambda: totals() == (sent, refused), what="the numbers are those of the service")
    expect(page.locator(".chart svg path.line.s0").first).to_be_visible()
    is_accessible(page)
    picture(page, "status-light")

    page.emulate_media(color_scheme="dark")
    is_accessible(page)
    picture(page, "status-dark")
    page.emulate_media(color_scheme="light")

    warning.get_by_role("link", name="Its files").click()
    expect(page.get_by_role("heading", name="acme~prod")).to_be_visible()
    is_accessible(page)
    picture(page, "tenant")
    page.locator("td.name a").first.click()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    expect(page.locator(".timeline")).to_contain_text("Gave up for now: the object store answered 403")
    is_accessible(page)

    store.heal()
    page.go_back()
    page.get_by_role("button", name="Retry what failed").click()
    expect(page.locator("#toast")).to_contain_text("What failed is tried again.")
    wait_until(lambda: not admin.get("/api/failed")["files"], what="what failed is delivered")
    page.goto(f"{admin.url}/#/")
    expect(page.locator("[data-verdict]")).to_have_attribute("data-verdict", "well")


def test_uploads_can_be_paused_and_resumed_from_the_page(page, service):
    admin = administration_of(service)
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(admin.url)
    page.get_by_role("button", name="Pause all uploads").click()
    expect(page.locator(".finding", has_text="All uploads have been paused by hand")).to_be_visible()
    assert admin.get("/api/status")["uploads"]["paused_since"] is not None
    page.get_by_role("button", name="Resume uploads").click()
    expect(page.get_by_role("button", name="Pause all uploads")).to_be_visible()
    assert admin.get("/api/status")["uploads"]["paused_since"] is None


def test_a_service_that_does_not_answer_is_said_to_be_gone_and_found_again(browser, service):
    context = browser.new_context()
    page = context.new_page()
    page.goto(administration_of(service).url)
    expect(page.locator("#live")).to_contain_text("Live")
    context.set_offline(True)
    expect(page.locator("#live")).to_have_text("The service does not answer. Trying again …")
    context.set_offline(False)
    expect(page.locator("#live")).to_contain_text("Live")
    context.close()


def test_a_reading_alone_between_gaps_is_a_dot_and_no_gap_is_drawn_as_nothing(page, service):
    page.goto(administration_of(service).url)
    page.evaluate("""async () => {
        const { chart } = await import("/charts.js");
        const values = [null, 2, null, 3, 4, null];
        const lines = [{ name: "median", values }];
        document.body.replaceChildren(chart("Chart", "", [0, 10, 20, 30, 40, 50], lines, String));
    }""")
    assert page.locator("circle.dot.s0").count() == 1
    line, area = (page.locator(f"path.{kind}").get_attribute("d") for kind in ("line", "area"))
    assert [path.count("M") for path in (line, area)] == [2, 2]
    assert [path.count("L") for path in (line, area)] == [1, 1]


def test_thousands_of_tenants_are_searched_sorted_and_paged(page, crowded):
    page.goto(f"{crowded.url}/#/tenants")
    pages = page.locator(".pages span")
    expect(pages).to_have_text(f"1\u201350 of {MANY + len(HOSTILE):,} tenants")
    page.get_by_role("button", name="Next").click()
    expect(pages).to_have_text(f"51\u2013100 of {MANY + len(HOSTILE):,} tenants")
    page.get_by_role("button", name="accepted").click()
    expect(page.locator("tbody tr").nth(len(HOSTILE)).locator("td").first).to_have_text(f"org{MANY - 1:04d}~prod")
    page.get_by_role("searchbox").fill("ORG123")
    expect(pages).to_have_text("1\u201310 of 10 tenants")
    expect(page.get_by_role("searchbox")).to_be_focused()
    is_accessible(page)


def test_names_from_hell_are_text_and_nothing_else(page, crowded):
    page.goto(f"{crowded.url}/#/tenants")
    page.get_by_role("button", name="accepted").click()
    for name in HOSTILE:
        link = page.get_by_role("link", name=name, exact=True)
        expect(link).to_be_visible()
    page.get_by_role("link", name=HOSTILE[0], exact=True).click()
    expect(page.locator("h1")).to_have_text(HOSTILE[0])
    expect(page.get_by_role("heading", name="Files")).to_be_visible()
    assert page.evaluate("window.hacked === undefined")
    assert page.locator("main img, main script").count() == 0


@pytest.mark.parametrize("path", ["", "tenants", "events", "settings"])
def test_every_part_is_accessible_and_fits_on_a_phone(page, crowded, path):
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto(f"{crowded.url}/#/{path}")
    expect(page.locator("main h1")).to_be_visible()
    is_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    if path == "":
        picture(page, "status-phone")


def test_the_page_asks_for_the_token_and_keeps_it_in_its_tab_only(browser, start_service, free_port, tmp_path):
    token = tmp_path / "token"
    token.write_text("the-token")
    address = f"127.0.0.1:{free_port()}"
    start_service(apidanalytics_admin_listen=address, apidanalytics_admin_token_file=token, apidanalytics_workers=1)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://{address}/")
    page.locator("#token").fill("the-token")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("[data-verdict]")).to_be_visible()
    assert context.storage_state() == {"cookies": [], "origins": []}
    context.close()
