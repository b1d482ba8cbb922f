"""What a request says beside its body: time, id, headers, origin, host, and who sends it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from starlette.requests import HTTPConnection

from natsrpc.errors import ForbiddenError, UnauthorizedError
from natsrpc.web import Target

from .conftest import Browse
from .test_gateway import problem


@pytest.mark.parametrize(
    ("header", "value", "milliseconds"),
    [
        ("Request-Timeout", "2.5", "2500"),
        ("Request-Timeout", "800ms", "800"),
        ("X-Request-Timeout", "3 s", "3000"),
        ("Request-Timeout", "9999", "20000"),
    ],
)
async def test_a_request_names_its_time_within_the_gateways_bound(
    browse: Browse, header: str, value: str, milliseconds: str
) -> None:
    http = await browse(max_timeout=20.0)
    await http.post("/orders/forget")  # the first one waits for the services to be found
    got = (await http.post("/orders/headers", headers={header: value})).json()
    assert got["natsrpc-timeout"] == milliseconds


async def test_a_request_that_names_no_time_has_the_gateways(browse: Browse) -> None:
    http = await browse(timeout=3.0)
    assert (await http.post("/orders/headers")).json()["natsrpc-timeout"] == "3000"


@pytest.mark.parametrize("value", ["", "0", "-1", "soon", "1e3", "nan", "1 m", "9" * 20])
async def test_a_time_that_is_none_is_named(browse: Browse, value: str) -> None:
    http = await browse()
    refused = await http.post("/orders/headers", headers={"Request-Timeout": value})
    assert problem(refused, 400)["errors"][0]["name"] == "Request-Timeout"


async def test_a_call_that_takes_too_long_ends_at_its_deadline(browse: Browse) -> None:
    http = await browse()
    refused = await http.post("/orders/sleep", json=30.0, headers={"Request-Timeout": "50ms"})
    assert problem(refused, 504)["error"] == "DeadlineExceededError"


async def test_the_id_of_a_request_goes_in_and_out(browse: Browse) -> None:
    http = await browse()
    answer = await http.post("/orders/headers", headers={"X-Request-Id": "abc-7"})
    assert answer.headers["x-request-id"] == answer.json()["x-request-id"] == "abc-7"
    made = {(await http.post("/orders/headers")).json()["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    for odd in ("x" * 129, "a b", "a\xff"):
        answer = await http.post("/orders/headers", headers=[(b"X-Request-Id", odd.encode())])
        assert answer.headers["x-request-id"] == answer.json()["x-request-id"] != odd


async def test_only_the_headers_of_a_list_cross(browse: Browse) -> None:
    http = await browse()
    sent = {
        "Accept-Language": "de",
        "Traceparent": "00-1",
        "Authorization": "Bearer secret",
        "Cookie": "a=b",
        "X-Tenant": "acme",
        "Natsrpc-Depth": "9",
        "Natsrpc-Timeout": "1",
        "Nats-Msg-Id": "7",
        "Nats-Service-Error": "no",
    }
    answer = await http.post("/orders/headers", headers=sent)
    names = {"accept-language", "content-type", "traceparent", "x-request-id"}
    ours = {"natsrpc-max-reply", "natsrpc-timeout"}
    assert answer.json().keys() == names | ours
    assert answer.json()["natsrpc-timeout"] == "5000"
    assert answer.headers["etag"] == '"7"'
    assert "x-private" not in answer.headers


async def test_a_header_on_several_lines_crosses_as_one(browse: Browse) -> None:
    http = await browse()
    lines = [("Baggage", "a=1"), ("Accept-Language", "de"), ("Baggage", "b=2"), ("Baggage", "c=3")]
    got = (await http.post("/orders/headers", headers=lines)).json()
    assert (got["baggage"], got["accept-language"]) == ("a=1, b=2, c=3", "de")


async def test_other_headers_cross_where_they_are_listed(browse: Browse) -> None:
    http = await browse(request_headers=["X-Tenant"], response_headers=["X-Private"])
    sent = {"X-Tenant": "acme", "Accept-Language": "de"}
    answer = await http.post("/orders/headers", headers=sent)
    assert answer.json()["x-tenant"] == "acme"
    assert "accept-language" not in answer.json()
    assert answer.headers["x-private"] == "not for others"
    assert "etag" not in answer.headers


async def test_headers_that_are_too_large_are_refused(browse: Browse) -> None:
    http = await browse()
    problem(await http.post("/orders/headers", headers={"X-Large": "x" * 17_000}), 431)


async def authorize(request: HTTPConnection, target: Target | None) -> Mapping[str, str] | None:
    user = request.headers.get("authorization", "")
    if not user:
        raise UnauthorizedError("who are you?")
    if target is not None and target.endpoint == "place" and user != "ann":
        raise ForbiddenError(f"{user} may not call {target.subject}")
    return {"X-User": user}


async def test_a_hook_says_who_may_call_and_what_the_service_is_told(browse: Browse) -> None:
    http = await browse(authorize=authorize)
    refused = await http.post("/orders/headers")
    assert problem(refused, 401)["detail"] == "who are you?"
    assert refused.headers["www-authenticate"] == "Bearer"
    problem(await http.get("/services.json"), 401)
    problem(await http.get("/openapi.json"), 401)
    bob = {"Authorization": "bob", "X-User": "ann"}
    assert (await http.post("/orders/headers", headers=bob)).json()["x-user"] == "bob"
    found = problem(await http.post("/orders/place", json={"sku": "a"}, headers=bob), 403)
    assert found["detail"] == "bob may not call orders.place"
    assert (await http.get("/services.json", headers=bob)).status_code == 200


async def test_a_hook_that_fails_lets_nobody_in(
    browse: Browse, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(request: HTTPConnection, target: Target | None) -> None:
        raise KeyError("secret")

    http = await browse(authorize=broken)
    found = problem(await http.post("/orders/headers"), 500)
    assert found["error_id"] in caplog.text
    assert "secret" not in str(found)


async def test_a_hook_cannot_speak_as_natsrpc(browse: Browse) -> None:
    async def wrong(request: HTTPConnection, target: Target | None) -> dict[str, str]:
        return {"Natsrpc-Depth": "9"}

    problem(await (await browse(authorize=wrong)).post("/orders/headers"), 500)


async def test_pages_of_other_origins_may_call_where_they_are_listed(browse: Browse) -> None:
    http = await browse(cors=["https://shop.example"], authorize=authorize)
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, request-timeout",
    }
    preflight = await http.options("/orders/place", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
    refused = await http.options("/orders/place", headers={**asked, "Origin": "https://x.example"})
    assert "access-control-allow-origin" not in refused.headers
    sent = {
        "Origin": "https://shop.example",
        "Sec-Fetch-Site": "cross-site",
        "Authorization": "ann",
    }
    answer = await http.post("/orders/place", json={"sku": "a"}, headers=sent)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "X-Request-Id" in answer.headers["access-control-expose-headers"]


async def test_pages_of_other_origins_cannot_post_unasked(browse: Browse) -> None:
    http = await browse()
    for site in ("cross-site", "same-site"):
        sent = {"Origin": "https://evil.example", "Sec-Fetch-Site": site}
        found = problem(await http.post("/orders/forget", headers=sent), 403)
        assert found["errors"][0]["name"] == "Origin"
    for site in ("same-origin", "none"):
        answer = await http.post("/orders/forget", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 204


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (None, "gateway", 204),
        ("http://gateway", "gateway", 204),
        ("https://Gateway:8000", "gateway:8000", 204),
        ("http://evil.example", "gateway", 403),
        ("http://gateway:9000", "gateway:8000", 403),
        ("http://gateway.evil.example", "gateway", 403),
        ("null", "gateway", 403),
        ("null", "", 403),
        ("http://shop.example", "gateway", 204),
    ],
)
async def test_without_word_of_its_site_a_page_may_post_to_the_host_it_is_from(
    browse: Browse, origin: str | None, host: str, status: int
) -> None:
    http = await browse(cors=["http://shop.example"])
    sent = {"Host": host, **({} if origin is None else {"Origin": origin})}
    answer = await http.post("/orders/forget", headers=sent)
    assert answer.status_code == status
    if status == 403:
        assert problem(answer, 403)["errors"][0]["name"] == "Origin"


async def test_a_gateway_with_hosts_serves_no_other_name(browse: Browse) -> None:
    http = await browse(hosts=["localhost", "[::1]"])
    problem(await http.post("/orders/forget", headers={"Host": "evil.example"}), 421)
    problem(await http.get("/services.json", headers={"Host": "evil.example:8000"}), 421)
    for host in ("localhost", "LOCALHOST:8000", "[::1]", "[::1]:8000"):
        assert (await http.post("/orders/forget", headers={"Host": host})).status_code == 204


@pytest.mark.parametrize(
    ("accept", "type_"),
    [
        ("", "application/x-ndjson"),
        ("*/*", "application/x-ndjson"),
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream;q=0.5, application/x-ndjson;q=0.4", "text/event-stream"),
        ("text/*, */*;q=0.1", "text/event-stream"),
        ("application/jsonl", "application/jsonl"),
        ("text/html, */*;q=0.8", "application/x-ndjson"),
    ],
)
async def test_a_stream_has_the_type_that_its_client_likes_best(
    browse: Browse, accept: str, type_: str
) -> None:
    http = await browse()
    answer = await http.get("/orders/watch", headers={"Accept": accept})
    assert answer.headers["content-type"] == type_


async def test_a_client_that_takes_no_stream_is_told_so(browse: Browse) -> None:
    http = await browse()
    refused = await http.get("/orders/watch", headers={"Accept": "text/html, */*;q=0"})
    assert problem(refused, 406)["errors"][0]["name"] == "Accept"
