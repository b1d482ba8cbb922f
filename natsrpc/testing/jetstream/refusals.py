"""Refusals of the API, with the codes and texts of nats-server.

What is raised here is never seen by a user: it goes over the wire, as the answer to a request.
"""

from __future__ import annotations

from natsrpc.errors import JetStreamError

_TEXTS = {
    10003: (400, "bad request"),
    10012: (500, "{why}"),
    10014: (404, "consumer not found"),
    10025: (400, "invalid JSON: {why}"),
    10026: (400, "maximum consumers limit reached"),
    10037: (404, "no message found"),
    10043: (400, "sequence {seq} not found"),
    10049: (500, "{why}"),
    10052: (500, "{why}"),
    10054: (400, "message size exceeds maximum allowed"),
    10056: (400, "stream name in subject does not match request"),
    10057: (500, "{why}"),
    10058: (400, "stream name already in use with a different configuration"),
    10059: (404, "stream not found"),
    10060: (400, "expected stream does not match"),
    10065: (400, "subjects overlap with an existing stream"),
    10070: (400, "wrong last msg ID: {id}"),
    10071: (400, "wrong last sequence: {seq}"),
    10077: (503, "{why}"),
    10084: (400, "consumer in pull mode requires explicit ack policy on workqueue stream"),
    10088: (400, "consumer idle heartbeat requires a push based consumer"),
    10094: (400, "{why}"),
    10095: (400, "failed to parse consumer sampling configuration: {why}"),
    10097: (400, "header size exceeds maximum allowed of 64k"),
    10098: (400, "workqueue stream requires explicit ack"),
    10099: (400, "multiple non-filtered consumers not allowed on workqueue stream"),
    10100: (400, "filtered consumer not unique on workqueue stream"),
    10101: (400, "consumer must be deliver all on workqueue stream"),
    10109: (400, "invalid operation on sealed stream"),
    10110: (500, "{why}"),
    10111: (500, "{why}"),
    10115: (400, "consumer max request expires needs to be >= 1ms"),
    10116: (400, "max deliver is required to be > length of backoff values"),
    10131: (400, "Consumer create request did not match filtered subject from create subject"),
    10133: (400, "replicas count cannot be negative"),
    10136: (400, "consumer cannot have both FilterSubject and FilterSubjects specified"),
    10137: (400, "consumer with multiple subject filters cannot use subject based API"),
    10138: (400, "consumer subject filters cannot overlap"),
    10139: (400, "consumer filter in FilterSubjects cannot be empty"),
    10148: (400, "consumer already exists"),
    10149: (400, "consumer does not exist"),
    10165: (400, "invalid per-message TTL"),
    10166: (400, "per-message TTL is disabled"),
    10183: (400, "consumer ack wait needs to be positive"),
    10184: (400, "consumer backoff needs to be positive"),
    10188: (400, "message schedules is disabled"),
    10189: (400, "message schedules pattern is invalid"),
    10190: (400, "message schedules target is invalid"),
    10191: (400, "message schedules TTL is invalid"),
}

_NOT_HERE = 501


def refused(err_code: int, **values: object) -> JetStreamError:
    """The refusal with this `err_code`; `values` fill its text."""
    code, text = _TEXTS[err_code]
    description = text.format(**values)
    return JetStreamError(description, code=code, err_code=err_code, description=description)


def lacking(what: str) -> JetStreamError:
    """The refusal of what a real server has and this one does not."""
    text = f"the in-memory JetStream does not have {what}: test it with a nats-server"
    return JetStreamError(text, code=_NOT_HERE, description=text)
