"""The first page that anybody loads is a light one."""

import pytest
from playwright.sync_api import Request

from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.browser

MOST_REQUESTS = 5
MOST_BYTES = 40_000


def test_the_sign_in_page_costs_at_most_five_requests_and_forty_kilobytes(
    open_page: OpenPage,
) -> None:
    page = open_page()
    finished: list[Request] = []

    def note(request: Request) -> None:
        finished.append(request)

    page.on("requestfinished", note)
    page.goto("/client/login", wait_until="networkidle")

    sizes = [request.sizes() for request in finished]
    weight = sum(size["responseHeadersSize"] + size["responseBodySize"] for size in sizes)
    assert 0 < len(finished) <= MOST_REQUESTS
    assert 0 < weight <= MOST_BYTES
