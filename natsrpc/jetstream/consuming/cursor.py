"""The cursor of an ordered consumer: what was handed out last, and how a consumer goes on there.

It moves when a message is handed out, not when it arrives: what was received and dropped is asked
for again. A gap is one in the consumer's own sequence; the stream's has gaps where messages were
deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from natsrpc.core import Msg, random_text
from natsrpc.errors import ConfigError, StreamNotFoundError

from ..api import ConsumerConfig, ConsumerInfo, DeliverPolicy, ReplayPolicy
from .reply import tokens_of

INACTIVE = 300.0
_NAME_SIZE = 12


class Cursor:
    """The place of one ordered reader in its stream. `last_seq` is 0 before the first message.
    `lost` tells that the stream was made anew: the place is nowhere from then on."""

    def __init__(
        self,
        *,
        filters: Sequence[str] = (),
        deliver_policy: DeliverPolicy = "all",
        opt_start_seq: int | None = None,
        opt_start_time: datetime | None = None,
        headers_only: bool = False,
        replay_policy: ReplayPolicy | None = None,
        inactive_threshold: float = INACTIVE,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if opt_start_seq is not None and deliver_policy == "all":
            deliver_policy = "by_start_sequence"
        if opt_start_time is not None and deliver_policy == "all":
            deliver_policy = "by_start_time"
        if deliver_policy == "by_start_sequence" and opt_start_seq is None:
            raise ConfigError("deliver_policy='by_start_sequence' needs opt_start_seq=")
        if deliver_policy == "by_start_time" and opt_start_time is None:
            raise ConfigError("deliver_policy='by_start_time' needs opt_start_time=")
        self._filters = tuple(filters)
        self._policy: DeliverPolicy = deliver_policy
        self._start_seq = opt_start_seq
        self._start_time = opt_start_time
        self._headers_only = headers_only
        self._replay_policy = replay_policy
        self._inactive = inactive_threshold
        self._metadata = metadata
        self._name = random_text(_NAME_SIZE).decode()
        self._serial = 0
        self._new_from = 0
        self._next_consumer_seq = 1
        self.last_seq: int = 0
        self.lost: StreamNotFoundError | None = None
        self.config()  # what cannot be is refused where it was written

    @property
    def filters(self) -> tuple[str, ...]:
        """The subjects that it is limited to; empty for all."""
        return self._filters

    @property
    def is_last_per_subject(self) -> bool:
        """Whether it begins with the latest message of each subject."""
        return self._policy == "last_per_subject"

    def config(self) -> ConsumerConfig:
        """The configuration of the next consumer, under a name of its own.

        Raises:
            ConfigError, ConfigTypeError: what the user asked for cannot be.
        """
        self._serial += 1
        self._next_consumer_seq = 1
        policy, start_seq, start_time = self._policy, self._start_seq, self._start_time
        if self.last_seq or self._new_from:
            # the start time must go: the server refuses both
            policy, start_time = "by_start_sequence", None
            start_seq = max(self.last_seq + 1, self._new_from)
        filters = self._filters
        if policy == "last_per_subject" and not filters:
            filters = (">",)  # this policy needs one
        return ConsumerConfig(
            name=f"{self._name}_{self._serial}",
            deliver_policy=policy,
            opt_start_seq=start_seq,
            opt_start_time=start_time,
            ack_policy="none",
            max_deliver=1,
            filter_subjects=filters or None,
            headers_only=self._headers_only or None,
            replay_policy=self._replay_policy,
            inactive_threshold=self._inactive,
            num_replicas=1,
            mem_storage=True,
            metadata=self._metadata,
        )

    def made(self, info: ConsumerInfo) -> None:
        """Take note of where a consumer begins that gets what is new."""
        if self._policy == "new" and not self._new_from:
            self._new_from = info.delivered.stream_seq + 1

    def take(self, msg: Msg) -> bool:
        """Move to a message that is to be handed out; False if one before it is missing."""
        tokens = tokens_of(msg.raw_reply)
        if int(tokens[4]) != self._next_consumer_seq:
            return False
        self._next_consumer_seq += 1
        self.last_seq = int(tokens[3])
        return True
