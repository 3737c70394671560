"""The Call: one request to a model, as a list of columns that every engine's table is made from.

The vocabulary is OpenTelemetry GenAI (`otel` holds the attribute). Token buckets are exclusive: no token is
in two of them; the inclusive totals of the wire formats are sums of buckets. Prompts and answers have no
column (law L9).
"""

from __future__ import annotations

from dataclasses import dataclass

from costweir.domain.charge import Kind

#: How a call ended.
OUTCOMES = ("ok", "error", "refused", "aborted", "cached")
#: How sure the usage of a call is.
USAGE_CERTAINTIES = ("reported", "estimated", "unknown")
#: The exclusive buckets of tokens that went in.
INPUT_BUCKETS = (
    "uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "audio_input_tokens", "image_input_tokens",
)  # fmt: skip
#: The exclusive buckets of tokens that came out.
OUTPUT_BUCKETS = ("text_output_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens")


@dataclass(frozen=True, slots=True)
class CallColumn:
    """One column: its name, its kind, the OTel attribute it holds (empty for our own) and what it means."""

    name: str
    kind: Kind
    otel: str
    meaning: str
    required: bool = False


def _c(name: str, kind: Kind, otel: str = "", meaning: str = "", *, required: bool = False) -> CallColumn:
    return CallColumn(name, kind, otel, meaning, required)


CALL_COLUMNS: tuple[CallColumn, ...] = (
    # which call, and when
    _c("call_id", "text", meaning="the attempt; a call is stored once by it", required=True),
    _c("request_id", "text", meaning="the caller's request; retries and fallbacks share it"),
    _c("trace_id", "text", "trace_id", "W3C trace id"),
    _c("span_id", "text", "span_id", "W3C span id"),
    _c("started_at", "instant", meaning="UTC", required=True),
    _c("ended_at", "instant", meaning="UTC; empty while unknown"),
    _c("duration_ms", "int", "gen_ai.client.operation.duration", "whole call, in milliseconds"),
    _c(
        "first_token_ms", "int", "gen_ai.server.time_to_first_token", "until the first token, in milliseconds"
    ),
    # what was called
    _c("provider", "text", "gen_ai.provider.name", "provider code, lower case", required=True),
    _c("service", "text", meaning="the service as the bill names it, where it is known"),
    _c("operation", "text", "gen_ai.operation.name", "chat, embeddings, generate_content ..."),
    _c("model", "text", meaning="vendor's API id in lower case, or unknown", required=True),
    _c("request_model", "text", "gen_ai.request.model", "as asked for"),
    _c("response_model", "text", "gen_ai.response.model", "as answered"),
    _c("degraded_from", "text", meaning="the model asked for, when a cheaper one answered"),
    _c("region", "text", "cloud.region", "the provider's region code"),
    # who it is for
    _c("customer", "text", meaning="customer id or untagged", required=True),
    _c("project", "text", meaning="project id or untagged", required=True),
    _c("feature", "text", meaning="feature name or untagged", required=True),
    _c("session_id", "text", "gen_ai.conversation.id", "session id or untagged", required=True),
    _c("end_user", "text", "user.id", "the customer's own user, where asserted"),
    _c("key_id", "text", meaning="id of the gateway key or untagged", required=True),
    _c("plan_tier", "text", meaning="plan of the customer at the time of the call"),
    _c("query_type", "text", meaning="kind of question, as the caller names it"),
    _c("environment", "text", "deployment.environment.name", "production, staging ..."),
    # how much, in exclusive buckets
    _c("uncached_input_tokens", "int", meaning="text in, neither read from nor written to a cache"),
    _c("cache_read_tokens", "int", "gen_ai.usage.cache_read.input_tokens", "read from a cache"),
    _c(
        "cache_write_5m_tokens",
        "int",
        meaning="written to a cache that lives five minutes, or for no stated time",
    ),
    _c("cache_write_1h_tokens", "int", meaning="written to a cache that lives an hour"),
    _c("audio_input_tokens", "int", meaning="audio in"),
    _c("image_input_tokens", "int", meaning="image in"),
    _c("text_output_tokens", "int", meaning="text out, reasoning not included"),
    _c("reasoning_tokens", "int", meaning="reasoning out"),
    _c("audio_output_tokens", "int", meaning="audio out"),
    _c("image_output_tokens", "int", meaning="image out"),
    # how it ended, and what it cost
    _c("outcome", "text", meaning="ok, error, refused, aborted or cached", required=True),
    _c("error_type", "text", "error.type", "the provider's or our own error code"),
    _c("finish_reason", "text", "gen_ai.response.finish_reasons", "the first reason given"),
    _c("reserved_usd", "money", meaning="what was held before the call was sent"),
    _c("settled_usd", "money", meaning="what it cost; null while it is unpriced"),
    _c("price_version", "text", meaning="the price row that was applied"),
    _c("usage_certainty", "text", meaning="reported, estimated or unknown", required=True),
    _c("metadata", "json", meaning="the caller's own attributes, no content"),
    # calendar columns, stored so that no engine needs a date function
    _c("usage_date", "day", meaning="UTC day of started_at", required=True),
    _c("usage_hour", "int", meaning="UTC hour 0-23", required=True),
    _c("iso_dow", "int", meaning="Monday 1 to Sunday 7", required=True),
    _c("usage_month", "text", meaning="YYYY-MM of usage_date", required=True),
)

CALL_COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in CALL_COLUMNS)
