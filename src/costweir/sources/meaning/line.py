"""What the classifier is asked and what it answers: one line of a bill, and its meaning."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from costweir.domain.charge import UNKNOWN


@dataclass(frozen=True, slots=True)
class Line:
    """The strings of a bill that decide a meaning, verbatim.

    `cloud` is aws, gcp, azure, openai, anthropic or other; `text` is the usage type, SKU text or meter name;
    `unit_price` is the price of one `unit` in `currency`, and is only ever used to check the unit.
    """

    cloud: str
    service: str
    text: str
    unit: str = ""
    region: str = ""
    unit_price: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a line is about. Every text is lower case and empty where the line does not say it.

    `direction` is input, output, cache_read or cache_write. `tokens_per_unit` is None where the unit is not
    tokens. `confidence` is high when every slot came from a specific rule; medium when the model id was
    derived, a slot was inferred or a word was not understood; low when the model is known but not what is
    counted; none when no rule knows the line. A line that a rule knows to have no model (a guardrail,
    reserved capacity) is high with model `unknown`.
    """

    model: str = UNKNOWN
    token_type: str = "other"  # noqa: S105  # a class of tokens, not a secret
    tokens_per_unit: int | None = None
    direction: str = ""
    modality: str = ""
    cache_action: str = ""
    cache_ttl: str = ""
    tier: str = ""
    routing: str = ""
    context_band: str = ""
    rule_id: str = ""
    confidence: str = "none"
    developer: str = ""
