"""A Django project in one file: views that share a client at the top of their module."""

from __future__ import annotations

from typing import Any

from django.http import JsonResponse, StreamingHttpResponse
from django.urls import path

import natsrpc.sync

client = natsrpc.sync.connect("nats://127.0.0.1:1", lazy=True)


def add(request: Any, a: int) -> JsonResponse:
    return JsonResponse({"sum": client.call("desk.add", {"a": a}, int)})


def count(request: Any, n: int) -> StreamingHttpResponse:
    numbers = client.stream("desk.count", n, int)
    return StreamingHttpResponse(f"{number}\n" for number in numbers)


async def add_async(request: Any, a: int) -> JsonResponse:
    """A view with a loop of its own: the blocking client blocks it, and works."""
    return JsonResponse({"sum": client.call("desk.add", {"a": a}, int)})


urlpatterns = [
    path("add/<int:a>", add),
    path("add_async/<int:a>", add_async),
    path("count/<int:n>", count),
]
