"""The mock without its server: what it charges, how it misbehaves, and the bill that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from costweir.gateway.mock import replies
from costweir.gateway.mock.bill import Bill, Line, Rates
from costweir.gateway.mock.faults import Faults
from costweir.gateway.mock.replies import Answer, Form

#: What a model costs that is not in the table, in USD per 1,000,000 tokens.
DEFAULT_RATES = Rates.usd({"input": "3.00", "output": "15.00", "cache_read": "0.30", "cache_write": "3.75"})

#: The context window of a model that is not in the table.
DEFAULT_CONTEXT = 128_000


class Provider:
    """Decides answers and bills them. `contexts` are the longest prompts by model, in tokens.

    `slow_seconds` is how long the fault `slow` waits before the first byte; between chunks it is a tenth of that.
    """

    def __init__(
        self,
        *,
        rates: Mapping[str, Rates] | None = None,
        contexts: Mapping[str, int] | None = None,
        faults: Faults | None = None,
        seed: int = 0,
        slow_seconds: float = 0.5,
    ) -> None:
        self.rates = dict(rates or {})
        self.contexts = dict(contexts or {})
        self.faults = faults or Faults()
        self.seed = seed
        self.slow_seconds = slow_seconds
        self.bill = Bill()
        self._numbers = 0

    def number(self) -> int:
        """The next request's number."""
        self._numbers += 1
        return self._numbers

    def decide(self, form: Form, body: bytes, number: int, *, caller: str, faults: tuple[str, ...]) -> Answer:
        """Decides the answer and bills it, before a byte of it is written. ValueError for what is no request,
        and for a prompt that is longer than the model's context."""
        ignores_cap = "ignores_max_tokens" in faults
        answer = replies.answer(form, body, number=number, seed=self.seed, ignores_cap=ignores_cap)
        self._need_room(answer)
        if "doubles_usage" in faults:
            answer = replace(answer, tokens=answer.tokens.doubled())
        if "omits_usage" in faults:
            answer = replace(answer, tells_usage=False)
        cost = self.rates.get(answer.model, DEFAULT_RATES).cost(answer.tokens)
        self.bill.add(Line(answer.id, caller, answer.model, answer.tokens, cost, faults))
        return answer

    def _need_room(self, answer: Answer) -> None:
        prompt, most = answer.tokens.prompt, self.contexts.get(answer.model, DEFAULT_CONTEXT)
        if prompt > most:
            raise ValueError(
                f"This model's maximum context length is {most} tokens. The request has {prompt} tokens."
            )

    def models(self) -> dict[str, object]:
        """The list of models, in the form of OpenAI."""
        names = self.rates or ("mock",)
        rows = [{"id": name, "object": "model", "created": 1, "owned_by": "mock"} for name in names]
        return {"object": "list", "data": rows}
