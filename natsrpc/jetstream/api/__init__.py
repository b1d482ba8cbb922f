"""The JetStream API as data and as requests: configurations, what the server tells, one caller."""

from .answers import CONSUMER_GONE, error_of, parse
from .api import Api
from .configs import (
    STREAM_LEVELS,
    ConsumerLimits,
    ExternalStream,
    Placement,
    Republish,
    StreamConfig,
    StreamSource,
    SubjectTransform,
)
from .consumer_configs import CONSUMER_LEVELS, ConsumerConfig, DeliverPolicy, ReplayPolicy
from .hub import Part
from .infos import (
    AccountInfo,
    AccountLimits,
    ApiStats,
    ClusterInfo,
    ConsumerInfo,
    PauseState,
    PeerInfo,
    PriorityGroupState,
    SequenceInfo,
    SourceInfo,
    StreamInfo,
    StreamState,
)
from .levels import lacking
from .names import check_bucket, check_name
from .numbers import MOST_SECONDS, check_seconds, check_wait, check_whole
from .overdue import Overdue
from .records import Difference, asks, differing, dropped, is_texts, overlay, read, write
from .times import NANOSECONDS, from_ns, to_moment, to_ns, to_rfc3339, to_seconds, to_ttl

__all__ = [
    "CONSUMER_GONE",
    "CONSUMER_LEVELS",
    "MOST_SECONDS",
    "NANOSECONDS",
    "STREAM_LEVELS",
    "AccountInfo",
    "AccountLimits",
    "Api",
    "ApiStats",
    "ClusterInfo",
    "ConsumerConfig",
    "ConsumerInfo",
    "ConsumerLimits",
    "DeliverPolicy",
    "Difference",
    "ExternalStream",
    "Overdue",
    "Part",
    "PauseState",
    "PeerInfo",
    "Placement",
    "PriorityGroupState",
    "ReplayPolicy",
    "Republish",
    "SequenceInfo",
    "SourceInfo",
    "StreamConfig",
    "StreamInfo",
    "StreamSource",
    "StreamState",
    "SubjectTransform",
    "asks",
    "check_bucket",
    "check_name",
    "check_seconds",
    "check_wait",
    "check_whole",
    "differing",
    "dropped",
    "error_of",
    "from_ns",
    "is_texts",
    "lacking",
    "overlay",
    "parse",
    "read",
    "to_moment",
    "to_ns",
    "to_rfc3339",
    "to_seconds",
    "to_ttl",
    "write",
]
