"""Configurations as objects of JSON: checked as strictly as a server does, and filled in.

A field that this server knows but cannot honour is refused by name. Those that say where things are
kept (`num_replicas`, `placement`, `storage`, `compression`) are taken, and nothing comes of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from natsrpc.core import check_subscribe, overlaps
from natsrpc.errors import NatsError

from .moments import SECOND, from_rfc3339
from .refusals import lacking, refused
from .transforms import Transform

VERSION = "2.15.0"
LEVEL = 5

Raw = dict[str, Any]


_is_percent = re.compile(r"\+?[0-9]+%?").fullmatch


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


_is_whole = _whole(-(2**63), 2**63 - 1)
_is_small = _whole(-(2**31), 2**31 - 1)
is_count: Callable[[Any], bool] = _whole(0, 2**64 - 1)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_wholes(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_whole, value))


def _is_time(value: Any) -> bool:
    try:
        from_rfc3339(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_named(value: Any) -> bool:
    return _is_object(value) and all(map(_is_text, value.values()))


def _one_of(*words: str) -> Callable[[Any], bool]:
    return lambda value: _is_text(value) and value in words


Kinds = Mapping[str, Callable[[Any], bool]]


def _record(**kinds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """An object with such fields, and no others."""

    def is_good(value: Any) -> bool:
        return _is_object(value) and all(
            name in kinds and (each is None or kinds[name](each)) for name, each in value.items()
        )

    return is_good


def _kinds(is_good: Callable[[Any], bool], names: str) -> Kinds:
    return dict.fromkeys(names.split(), is_good)


STREAM: Kinds = {
    **_kinds(_is_text, "name description template_owner"),
    **_kinds(
        _is_whole,
        "max_consumers max_msgs max_bytes max_age max_msgs_per_subject num_replicas "
        "duplicate_window subject_delete_marker_ttl",
    ),
    "max_msg_size": _is_small,
    "first_seq": is_count,
    **_kinds(
        _is_flag,
        "no_ack discard_new_per_subject sealed deny_delete deny_purge allow_rollup_hdrs "
        "allow_direct mirror_direct allow_msg_ttl allow_msg_counter allow_atomic "
        "allow_msg_schedules allow_batched pedantic",
    ),
    **_kinds(_is_object, "placement mirror"),
    "metadata": _is_named,
    "subject_transform": _record(src=_is_text, dest=_is_text),
    "republish": _record(src=_is_text, dest=_is_text, headers_only=_is_flag),
    "consumer_limits": _record(inactive_threshold=_is_whole, max_ack_pending=_is_whole),
    "subjects": _is_texts,
    "sources": lambda value: isinstance(value, list),
    "retention": _one_of("limits", "interest", "workqueue"),
    "discard": _one_of("old", "new"),
    "storage": _one_of("file", "memory"),
    "compression": _one_of("none", "s2"),
    "persist_mode": _one_of("default", "async"),
}
CONSUMER: Kinds = {
    **_kinds(
        _is_text,
        "durable_name name description filter_subject deliver_subject deliver_group sample_freq "
        "priority_policy",
    ),
    **_kinds(
        _is_whole,
        "ack_wait max_deliver max_waiting max_ack_pending max_batch max_expires max_bytes "
        "inactive_threshold num_replicas idle_heartbeat priority_timeout",
    ),
    **_kinds(is_count, "opt_start_seq rate_limit_bps"),
    **_kinds(_is_flag, "headers_only flow_control mem_storage direct"),
    **_kinds(_is_texts, "filter_subjects priority_groups"),
    **_kinds(_is_time, "opt_start_time pause_until"),
    "backoff": _is_wholes,
    "metadata": _is_named,
    "deliver_policy": _one_of(
        "all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject"
    ),
    "ack_policy": _one_of("none", "all", "explicit", "flow_control"),
    "replay_policy": _one_of("instant", "original"),
}

_STREAM_LACKS = (
    "mirror",
    "sources",
    "allow_msg_counter",
    "allow_atomic",
    "allow_batched",
)
_CONSUMER_LACKS = ("deliver_subject", "priority_groups", "flow_control", "rate_limit_bps")
_FLAGS = (
    "allow_direct",
    "mirror_direct",
    "sealed",
    "deny_delete",
    "deny_purge",
    "allow_rollup_hdrs",
    "allow_msg_ttl",
)
"""Those that the server tells where they are not set, too."""
_UNLIMITED = ("max_consumers", "max_msgs", "max_bytes", "max_msgs_per_subject", "max_msg_size")
"""Those of a stream of which 0 and less is -1."""
_UNSET = (
    *("max_waiting", "inactive_threshold", "max_batch", "max_expires", "max_bytes"),
    "idle_heartbeat",
)
"""Those of a consumer that are not set where they are negative."""

_SHORTEST = SECOND // 10
_MOST_REPLICAS = 5
_LEVELS = {
    "allow_msg_ttl": 1,
    "subject_delete_marker_ttl": 1,
    "pause_until": 1,
    "allow_msg_schedules": 2,
}


GET: Kinds = {
    **_kinds(is_count, "seq up_to_seq"),
    **_kinds(_is_whole, "batch max_bytes"),
    **_kinds(_is_text, "last_by_subj next_by_subj start_time up_to_time"),
    "multi_last": _is_texts,
}
"""What asks for single messages, and for several."""


def known(request: Mapping[str, Any], kinds: Kinds) -> Raw:
    """The fields of a configuration or request that are set.

    Raises:
        JetStreamError: one is not known, or is of another type.
    """
    for name, found in request.items():
        if name not in kinds:
            raise refused(10025, why=f'json: unknown field "{name}"')
        if found is not None and not kinds[name](found):
            raise refused(10025, why=f"json: cannot unmarshal {found!r} into field {name}")
    return {name: found for name, found in request.items() if found is not None}


def _marked(raw: Raw) -> dict[str, str]:
    """Its metadata, with what the server says about itself."""
    own = {name: text for name, text in raw.get("metadata", {}).items() if name[:6] != "_nats."}
    level = max((level for field, level in _LEVELS.items() if raw.get(field)), default=0)
    mark = {"_nats.level": str(LEVEL), "_nats.req.level": str(level), "_nats.ver": VERSION}
    return {**own, **mark}


# streams


def stream_config(request: Mapping[str, Any]) -> Raw:
    """The whole configuration of a stream, from what was asked for.

    Raises:
        JetStreamError: it cannot be, or not here.
    """
    asked = known(request, STREAM)
    for field in _STREAM_LACKS:
        if asked.get(field):
            raise lacking(f"streams with {field}")
    if asked.get("persist_mode") == "async":
        raise lacking("streams with persist_mode async")
    raw: Raw = {"name": asked["name"], **_stream_defaults(asked)}
    raw.update({name: found for name, found in asked.items() if name not in raw and found})
    for name in _UNLIMITED:
        raw[name] = max(asked.get(name) or -1, -1)
    if raw.get("subject_delete_marker_ttl"):
        raw["allow_msg_ttl"] = raw["allow_rollup_hdrs"] = True
    if raw.get("allow_msg_schedules"):
        raw["allow_rollup_hdrs"] = True
    raw["metadata"] = _marked(raw)
    _check_stream(raw)
    return raw


def _stream_defaults(asked: Raw) -> Raw:
    max_age = asked.get("max_age", 0)
    window = min(120 * SECOND, max_age) if max_age else 120 * SECOND
    return {
        "subjects": asked.get("subjects") or [asked["name"]],
        "retention": asked.get("retention", "limits"),
        "max_age": max_age,
        "discard": asked.get("discard", "old"),
        "storage": asked.get("storage", "file"),
        "num_replicas": asked.get("num_replicas") or 1,
        "duplicate_window": asked.get("duplicate_window") or window,
        "compression": asked.get("compression", "none"),
        **{flag: asked.get(flag, False) for flag in _FLAGS},
        "consumer_limits": asked.get("consumer_limits", {}),
    }


def _check_stream(raw: Raw) -> None:
    _check_replicas(raw)
    wrong = _wrong_time(raw) or _wrong_limit(raw)
    if wrong:
        raise refused(10052, why=wrong)
    _check_subjects(raw["subjects"])
    for field in ("subject_transform", "republish"):
        if field in raw:
            transform_of(raw, field)
    if any(overlaps(raw.get("republish", {}).get("dest", ""), each) for each in raw["subjects"]):
        raise refused(10052, why="stream configuration for republish destination forms a cycle")


def _check_replicas(raw: Raw) -> None:
    """Refuse a number that no server takes. Any other is taken: declarations of production are
    those of tests."""
    if raw["num_replicas"] < 0:
        raise refused(10133)
    if raw["num_replicas"] > _MOST_REPLICAS:
        raise refused(10052, why=f"maximum replicas is {_MOST_REPLICAS}")


def _wrong_time(raw: Raw) -> str:
    """What is wrong about the times of a stream, the first thing first; "" for nothing."""
    for field, words in (("max_age", "max age"), ("duplicate_window", "duplicates window")):
        if raw[field] < 0:
            return f"{words} can not be negative"
        if 0 < raw[field] < _SHORTEST:
            return f"{words} needs to be >= 100ms"
    if raw["max_age"] and raw["duplicate_window"] > raw["max_age"]:
        return "duplicates window can not be larger then max age"
    marker = raw.get("subject_delete_marker_ttl", 0)
    if marker < 0:
        return "subject delete marker TTL must not be negative"
    if 0 < marker < SECOND:
        return "subject delete marker TTL must be at least 1 second"
    return ""


def _wrong_limit(raw: Raw) -> str:
    """What is wrong about what a stream does when it is full; "" for nothing."""
    if not raw.get("discard_new_per_subject"):
        return ""
    if raw["discard"] != "new":
        return "discard new per subject requires discard new policy to be set"
    if raw["max_msgs_per_subject"] <= 0:
        return "discard new per subject requires max msgs per subject > 0"
    return ""


def transform_of(raw: Raw, field: str) -> Transform | None:
    """The `subject_transform` or `republish` of a stream; None if it has none.

    Raises:
        JetStreamError: it cannot be, or not here.
    """
    found = raw.get(field)
    return Transform(found.get("src", ""), found.get("dest", "")) if found else None


def _check_subjects(subjects: list[str]) -> None:
    for number, subject in enumerate(subjects):
        try:
            check_subscribe(subject)
        except NatsError:
            raise refused(10052, why="invalid subject") from None
        if overlaps(subject, "$JS.API.>") or overlaps(subject, "$JS.ACK.>"):
            why = "subjects that overlap with jetstream api require no-ack to be true"
            raise refused(10052, why=why)
        for other in subjects[number + 1 :]:
            if subject == other:
                raise refused(10052, why="duplicate subjects detected")
            if overlaps(subject, other):
                raise refused(10052, why=f'subject "{subject}" overlaps with "{other}"')


def updated(old: Raw, new: Raw) -> Raw:
    """What a stream becomes by an update.

    Raises:
        JetStreamError: it changes what cannot be changed.
    """
    _check_update(old, new)
    if not new["sealed"]:
        return new
    fixed = {"max_age": 0, "discard": "new", "deny_delete": True, "deny_purge": True}
    return {**new, **fixed, "allow_rollup_hdrs": False}


def _check_update(old: Raw, new: Raw) -> None:
    can_not = "stream configuration update can not "
    wrong = None
    if old["sealed"] and not new["sealed"]:
        wrong = can_not + "unseal a sealed stream"
    elif old["storage"] != new["storage"]:
        wrong = can_not + "change storage type"
    elif old["retention"] != new["retention"] and "workqueue" in (
        old["retention"],
        new["retention"],
    ):
        wrong = can_not + "change retention policy to/from workqueue"
    else:
        for field, text in (
            ("deny_delete", can_not + "cancel deny message deletes"),
            ("deny_purge", can_not + "cancel deny purge"),
            ("allow_msg_ttl", "message TTL status can not be disabled"),
            ("allow_msg_schedules", "message schedules can not be disabled"),
        ):
            if old.get(field) and not new.get(field):
                wrong = wrong or text
    if wrong:
        raise refused(10052, why=wrong)


# consumers


def consumer_config(request: Mapping[str, Any], name: str, limits: Mapping[str, int]) -> Raw:
    """The whole configuration of a consumer, from what was asked for and its stream's limits.

    Raises:
        JetStreamError: it cannot be, or not here.
    """
    asked = known(request, CONSUMER)
    for field in _CONSUMER_LACKS:
        if asked.get(field):
            raise lacking(f"consumers with {field}")
    for field, word in (("ack_policy", "flow_control"), ("replay_policy", "original")):
        if asked.get(field) == word:
            raise lacking(f"consumers with {field} {word}")
    _check_numbers(asked)
    raw = {"name": name, **_set(asked)}
    if raw.get("durable_name"):
        raw["durable_name"] = name
    for field, default in (
        ("deliver_policy", "all"),
        ("ack_policy", "none"),
        ("max_deliver", -1),
        ("replay_policy", "instant"),
        ("max_waiting", 512),
    ):
        raw.setdefault(field, default)
    raw.setdefault("num_replicas", 0)
    _check_replicas(raw)
    _fill_acks(raw, limits)
    if "durable_name" not in raw:
        raw.setdefault("inactive_threshold", limits.get("inactive_threshold") or 5 * SECOND)
    _check_consumer(raw)
    raw["metadata"] = _marked(raw)
    return raw


def _set(asked: Raw) -> Raw:
    """What is set of a consumer, with one number for each that means no limit."""
    raw = {
        name: found
        for name, found in asked.items()
        if found and name != "name" and not (name in _UNSET and found < 0)
    }
    for name in ("max_deliver", "max_ack_pending"):
        if name in raw:
            raw[name] = max(raw[name], -1)
    return raw


def _fill_acks(raw: Raw, limits: Mapping[str, int]) -> None:
    if raw.get("backoff"):
        raw["ack_wait"] = raw["backoff"][0]
    if raw["ack_policy"] != "none":
        raw.setdefault("ack_wait", 30 * SECOND)
        raw.setdefault("max_ack_pending", limits.get("max_ack_pending") or 1000)
    most = limits.get("max_ack_pending", 0)
    if most and raw.get("max_ack_pending", 0) > most:
        raise refused(10012, why=f"consumer max ack pending exceeds system limit of {most}")


def _check_numbers(asked: Raw) -> None:
    if asked.get("ack_wait", 0) < 0 and not asked.get("backoff"):
        raise refused(10183)
    if any(each < 0 for each in asked.get("backoff", ())):
        raise refused(10184)
    if asked.get("idle_heartbeat", 0) > 0:
        raise refused(10088)
    if 0 < asked.get("max_expires", 0) < SECOND // 1000:
        raise refused(10115)
    sample = asked.get("sample_freq", "")
    if sample and not _is_percent(sample):
        raise refused(10095, why=f"{sample!r} is no percentage")


def _check_consumer(raw: Raw) -> None:
    filters = raw.get("filter_subjects", [])
    if raw.get("filter_subject") and filters:
        raise refused(10136)
    if "" in filters:
        raise refused(10139)
    pairs = [(a, b) for n, a in enumerate(filters) for b in filters[n + 1 :]]
    if any(overlaps(a, b) for a, b in pairs):
        raise refused(10138)
    if raw.get("backoff") and 0 < raw["max_deliver"] < len(raw["backoff"]):
        raise refused(10116)
    _check_start(raw)


def _check_start(raw: Raw) -> None:
    policy = raw["deliver_policy"]
    by_seq, by_time = "opt_start_seq" in raw, "opt_start_time" in raw
    if by_seq and by_time:
        raise refused(10094, why="consumer delivery policy is ambiguous")
    text = f"consumer delivery policy is deliver {policy.replace('_', ' ')}"
    if policy == "by_start_sequence" and not by_seq:
        raise refused(10094, why=f"{text}, but optional start sequence is not set")
    if policy == "by_start_time" and not by_time:
        raise refused(10094, why=f"{text}, but optional start time is not set")
    if policy != "by_start_sequence" and by_seq:
        raise refused(10094, why=f"{text}, but optional start sequence is also set")
    if policy != "by_start_time" and by_time:
        raise refused(10094, why=f"{text}, but optional start time is also set")
    if policy == "last_per_subject" and not filters_of(raw):
        raise refused(10094, why=f"{text}, but optional filter subject is not set")


def check_consumer_update(old: Raw, new: Raw) -> None:
    """Refuse to change what cannot be.

    Raises:
        JetStreamError: naming it.
    """
    for field, words in (
        ("deliver_policy", "deliver policy"),
        ("opt_start_seq", "start sequence"),
        ("opt_start_time", "start time"),
        ("ack_policy", "ack policy"),
        ("replay_policy", "replay policy"),
        ("max_waiting", "max waiting"),
        ("mem_storage", "storage type"),
    ):
        if old.get(field) != new.get(field):
            raise refused(10012, why=f"{words} can not be updated")


def filters_of(raw: Raw) -> list[str]:
    """The subjects that a consumer is limited to; empty for all."""
    one = raw.get("filter_subject")
    return [one] if one else list(raw.get("filter_subjects", ()))
