"""Services as JSON over HTTP: paths, methods, bodies, answers and errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest

import natsrpc
from natsrpc.errors import ConfigError
from natsrpc.testing import Broker, NatsServer, serve_in_memory
from natsrpc.web import Gateway

from .conftest import Browse, browsing
from .shop import Order, shop

NDJSON = {"Content-Type": "application/x-ndjson"}
BYTES = {"Content-Type": "application/octet-stream"}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of a response."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found["request_id"] == response.headers["x-request-id"]
    assert found["type"]
    assert found["title"]
    return found


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_service_answers_over_http_whatever_its_codec_is(
    browse: Browse, codec: str
) -> None:
    http = await browse(shop(codec=codec))
    answer = await http.post("/orders/place", json={"sku": "tea", "quantity": 2})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"number": 7, "sku": "tea", "quantity": 2}
    listed = await http.get("/orders/ann/list", params={"limit": 5, "exact": "true"})
    assert listed.json() == ["ann", "open", "5", "True"]
    assert (await http.get("/orders/double?value=21")).json() == 42
    assert (await http.post("/orders/double", json=4)).json() == 8
    watched = await http.get("/orders/watch?count=2")
    assert [json.loads(line)["number"] for line in watched.text.splitlines()] == [0, 1]
    items = b'{"sku":"a"}\n\n{"sku":"b"}'
    imported = await http.post("/orders/import?value=eu", content=items, headers=NDJSON)
    assert imported.json() == ["eu", "a", "b"]
    both = await http.post("/orders/both", content=items, headers=NDJSON)
    assert [json.loads(line)["sku"] for line in both.text.splitlines()] == ["a", "b"]
    blob = await http.post("/orders/blob", content=b"\x00\xffabc", headers=BYTES)
    assert blob.content == b"cba\xff\x00"
    assert blob.headers["content-type"] == "application/octet-stream"
    empty = await http.post("/orders/blob", content=b"", headers=BYTES)
    assert (empty.status_code, empty.content) == (200, b"")
    stored = await http.post("/orders/store", content=bytes(200_000), headers=BYTES)
    assert stored.json() == 200_000
    assert (await http.post("/orders/forget")).status_code == 204


async def test_bytes_in_messagepack_are_base64_outside(browse: Browse) -> None:
    service = natsrpc.Service("files", version="1.0.0", codec="msgpack")

    @service.handler("files.turn")
    async def turn(
        data: Annotated[bytes, natsrpc.Embed], name: str, more: list[bytes]
    ) -> dict[str, bytes]:
        assert name == "QUJD"  # a text that looks like base64 stays one
        return {"data": data[::-1], "more": b"".join(more)}

    http = await browse(service)
    body = {"data": "QUJD", "name": "QUJD", "more": ["QQ==", "Qg=="]}
    assert (await http.post("/files/turn", json=body)).json() == {"data": "Q0JB", "more": "QUI="}
    wrong = problem(await http.post("/files/turn", json={**body, "data": "Q"}), 422)
    assert "base64" in wrong["detail"]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_base64_is_read_alike_whatever_the_codec_is(browse: Browse, codec: str) -> None:
    service = natsrpc.Service("hex", version="1.0.0", codec=codec)

    @service.handler("hex.of")
    async def of(data: Annotated[bytes, natsrpc.Embed]) -> str:
        return data.hex()

    http = await browse(service)
    for text, expected in [
        ("AAEC", "000102"),
        ("QQ", "41"),
        ("-_-_", "fbffbf"),
        ("+/+/", "fbffbf"),
    ]:
        assert (await http.post("/hex/of", json={"data": text})).json() == expected
    for text in ("AA!!EC", "AA E C", "AA\nEC", "-/+_", "QQ===", "QR==", "=", "Q", "é"):
        problem(await http.post("/hex/of", json={"data": text}), 422)


async def test_a_typed_error_is_a_problem_with_its_code_and_fields(browse: Browse) -> None:
    http = await browse()
    found = problem(await http.post("/orders/place", json={"sku": "gone"}), 409)
    assert found["type"] == "urn:natsrpc:error:OutOfStock"
    assert found["title"] == found["error"] == "OutOfStock"
    assert (found["detail"], found["code"]) == ("none left", 409)
    assert found["details"] == {"sku": "gone", "left": 0}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_what_does_not_fit_is_named_by_its_place(browse: Browse, codec: str) -> None:
    http = await browse(shop(codec=codec))
    body = {"sku": "tea", "quantity": 0}
    (wrong,) = problem(await http.post("/orders/place", json=body), 422)["errors"]
    assert (wrong["in"], wrong["name"], wrong["pointer"]) == ("body", "quantity", "#/quantity")
    assert "greater than or equal to 1" in wrong["detail"]
    (wrong,) = problem(await http.get("/orders/ann/list?limit=many"), 422)["errors"]
    assert (wrong["in"], wrong["name"]) == ("query", "limit")
    type_ = {"Content-Type": "application/json"}
    (wrong,) = problem(await http.post("/orders/place", content=b"{", headers=type_), 400)["errors"]
    assert (wrong["in"], wrong["name"]) == ("body", "")
    (wrong,) = problem(await http.get("/orders/double"), 400)["errors"]
    assert (wrong["in"], wrong["name"]) == ("query", "value")
    twice = problem(await http.get("/orders/ann/list?limit=1&limit=2"), 400)
    assert twice["errors"][0]["name"] == "limit"


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("query", "items", "place", "name"),
    [
        ("scale=x", b'{"sku": "a"}', "query", "scale"),
        ("", b'{"sku": "a"}', "query", "scale"),
        ("scale=1", b'{"sku": 5}', "body", "sku"),
        ("scale=1", b'{"sku": "a"}\n{', "body", ""),
    ],
)
async def test_what_does_not_fit_of_an_upload_is_in_its_query_or_its_body(
    browse: Browse, codec: str, query: str, items: bytes, place: str, name: str
) -> None:
    service = natsrpc.Service("sums", version="1.0.0", codec=codec)

    @service.handler("sums.one")
    async def one(orders: AsyncIterator[Order], scale: int, more: str = "") -> int:
        return scale * len([each async for each in orders])

    @service.handler("sums.each")
    async def each_(orders: AsyncIterator[Order], scale: int, more: str = "") -> AsyncIterator[int]:
        async for _ in orders:
            pass
        yield scale

    http = await browse(service)
    for path in ("/sums/one", "/sums/each"):
        answer = await http.post(f"{path}?{query}", content=items, headers=NDJSON)
        (wrong,) = problem(answer, answer.status_code)["errors"]
        assert (wrong["in"], wrong["name"]) == (place, name)


async def test_what_is_no_path_or_method_is_told(browse: Browse) -> None:
    http = await browse()
    problem(await http.post("/orders/unknown", json={}), 404)
    problem(await http.post("/orders/place/", json={}), 404)
    refused = await http.get("/orders/place")
    problem(refused, 405)
    assert refused.headers["allow"] == "POST"
    refused = await http.request("DELETE", "/orders/ann/list")
    assert refused.headers["allow"] == "GET, HEAD, POST"
    assert (await http.head("/orders/ann/list")).status_code == 200
    for path in ("/", "/services.json", "/openapi.json", "/docs", "/docs/app.js"):
        for method in ("POST", "OPTIONS"):
            refused = await http.request(method, path)
            problem(refused, 405)
            assert refused.headers["allow"] == "GET, HEAD"


async def test_an_endpoint_may_have_the_path_of_a_document(browse: Browse) -> None:
    service = natsrpc.Service("docs", version="1.0.0")

    @service.handler("docs")
    async def docs() -> str:
        return "mine"

    http = await browse(service)
    assert (await http.post("/docs")).json() == "mine"
    assert (await http.get("/docs")).headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("value", ["a.b", "*", ">", "%20", "a%0D%0Ab", "%FF", "_NATSRPC"])
async def test_a_parameter_of_the_path_is_one_part_of_a_subject(browse: Browse, value: str) -> None:
    http = await browse()
    found = problem(await http.get(f"/orders/{value}/list"), 400)
    assert found["errors"][0]["in"] == "path"
    assert found["errors"][0]["name"] == "user"


async def test_a_parameter_may_hold_a_slash_that_is_written_as_such(browse: Browse) -> None:
    http = await browse()
    assert (await http.get("/orders/a%2Fb%C3%A9/list")).json()[0] == "a/bé"


async def test_a_body_has_the_type_that_its_endpoint_takes(browse: Browse) -> None:
    http = await browse()
    for path, type_, body in [
        ("/orders/place", "text/plain", b'{"sku":"a"}'),
        ("/orders/place", "application/x-www-form-urlencoded", b"sku=a"),
        ("/orders/place", "", b'{"sku":"a"}'),
        ("/orders/blob", "text/plain", b"abc"),
        ("/orders/import?value=eu", "application/json", b'[{"sku":"a"}]'),
        ("/orders/store", "", b"abc"),
        ("/orders/forget", "text/plain", b""),
        ("/orders/forget", "application/x-www-form-urlencoded", b""),
    ]:
        headers = {"Content-Type": type_} if type_ else {}
        found = problem(await http.post(path, content=body, headers=headers), 415)
        assert found["errors"][0]["name"] == "Content-Type"
    vendor = {"Content-Type": "application/vnd.shop+json; charset=utf-8"}
    body = b'{"sku":"a"}'
    assert (await http.post("/orders/place", content=body, headers=vendor)).status_code == 200
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    problem(await http.post("/orders/place", content=body, headers=packed), 415)
    problem(await http.post("/orders/forget", json={"sku": "a"}), 422)
    assert (await http.post("/orders/forget", json={})).status_code == 204
    assert (await http.post("/orders/forget")).status_code == 204


async def test_wildcards_are_parameters_and_the_rest_of_a_path(browse: Browse) -> None:
    service = natsrpc.Service("tree", version="1.0.0")

    @service.handler("tree.*.leaf")
    async def leaf(context: natsrpc.Context) -> str:
        return context.subject

    @service.handler("files.all.>", idempotent=True)
    async def rest(context: natsrpc.Context) -> str:
        return context.subject

    http = await browse(service)
    assert (await http.post("/tree/oak/leaf")).json() == "tree.oak.leaf"
    assert (await http.get("/files/all/a/b/c")).json() == "files.all.a.b.c"
    problem(await http.get("/files/all/a//c"), 400)


async def test_only_the_services_that_were_named_are_served(browse: Browse) -> None:
    http = await browse(shop(), shop("stock"), services=["stock"])
    assert (await http.post("/stock/place", json={"sku": "a"})).status_code == 200
    problem(await http.post("/orders/place", json={"sku": "a"}), 404)
    named = (await http.get("/services.json")).json()["services"]
    assert [each["name"] for each in named] == ["stock"]
    counted = (await http.get("/stats.json")).json()["instances"]
    assert [each["name"] for each in counted] == ["stock"]


async def test_a_service_that_is_gone_is_unavailable_and_then_unknown() -> None:
    broker = Broker()
    async with (
        serve_in_memory(shop("other"), broker=broker) as client,
        browsing(Gateway(client, refresh=0.001)) as http,
    ):
        async with serve_in_memory(shop(), broker=broker):
            assert (await http.post("/orders/forget")).status_code == 204
        gone = await http.post("/orders/forget")
        problem(gone, 503)
        assert gone.headers["retry-after"] == "1"


async def test_a_handler_that_fails_tells_nothing_but_an_id(
    browse: Browse, caplog: pytest.LogCaptureFixture
) -> None:
    service = natsrpc.Service("bad", version="1.0.0")

    @service.handler("bad.fail")
    async def fail() -> None:
        raise ValueError("the password is 1234")

    http = await browse(service)
    found = problem(await http.post("/bad/fail"), 500)
    assert found["details"]["error_id"] in caplog.text
    assert "1234" not in json.dumps(found)


@pytest.mark.parametrize(
    ("code", "status"), [(404, 404), (499, 499), (599, 599), (1001, 500), (100, 500), (302, 500)]
)
async def test_a_code_that_is_no_status_of_an_error_is_500(
    browse: Browse, code: int, status: int
) -> None:
    service = natsrpc.Service("codes", version="1.0.0")

    @service.handler("codes.raise")
    async def fail() -> None:
        raise natsrpc.RpcError("no", code=code)

    http = await browse(service)
    assert problem(await http.post("/codes/raise"), status)["code"] == code


async def test_an_answer_is_shown_and_never_run(browse: Browse) -> None:
    service = natsrpc.Service("html", version="1.0.0")

    @service.handler("html.page")
    async def page(context: natsrpc.Context) -> bytes:
        context.reply_headers["Content-Type"] = "text/html"
        return b"<script>alert(1)</script>"

    answer = await (await browse(service)).post("/html/page")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_headers_of_an_answer_cannot_write_others(browse: Browse) -> None:
    service = natsrpc.Service("odd", version="1.0.0")

    @service.handler("odd.headers")
    async def headers(context: natsrpc.Context) -> bytes:
        context.reply_headers["Content-Type"] = "text/plain; a=\x0bb"
        context.reply_headers["Location"] = "/\x01x"
        context.reply_headers["ETag"] = "\u20ac"
        return b"x"

    @service.handler("odd.type")
    async def odd_type(context: natsrpc.Context) -> bytes:
        context.reply_headers["Content-Type"] = "text/csv; charset=utf-8"
        return b"x"

    http = await browse(service)
    answer = await http.post("/odd/headers")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "location" not in answer.headers
    assert "etag" not in answer.headers
    answer = await http.post("/odd/type")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"


async def test_options_out_of_their_range_are_refused() -> None:
    async with serve_in_memory(shop()) as client:
        for options, text in [
            ({"timeout": 0}, "timeout is 0: expected a positive"),
            ({"timeout": 90.0}, "expected at most max_timeout"),
            ({"max_body": 0}, "max_body is 0"),
            ({"request_headers": ["Nats-Msg-Id"]}, "never crosses"),
            ({"request_headers": ["natsrpc-depth"]}, "never crosses"),
            ({"response_headers": ["Content-Length"]}, "never crosses"),
            ({"request_headers": ["a b"]}, "no name of a header"),
            ({"cors": ["shop.example"]}, "no origin"),
            ({"refresh": -1}, "refresh is -1: expected seconds"),
            ({"heartbeat": -1}, "heartbeat is -1: expected seconds"),
            ({"hosts": ["a:80"]}, "hosts: 'a:80' is no host without a port"),
            ({"hosts": "http://a"}, "hosts: 'http://a' is no host"),
            ({"services": []}, "services is empty"),
            ({"authorize": lambda request, target: None}, "expected an `async def`"),
        ]:
            with pytest.raises(ConfigError, match=text):
                Gateway(client, **options)  # type: ignore[arg-type]


async def test_a_gateway_before_its_lifespan_is_unavailable(nats_server: NatsServer) -> None:
    gateway = Gateway(natsrpc.connect(nats_server.url))
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        assert "lifespan" in problem(await http.get("/services.json"), 503)["detail"]
        async with gateway.lifespan():
            assert (await http.get("/services.json")).status_code == 200
        problem(await http.get("/services.json"), 503)
