"""Serves a metered request: hold, forward, reply, settle. Each try at a provider is an attempt with a hold of its own,
and nothing below this module tries again (laws L1, L2)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING

from costweir.gateway import apis
from costweir.gateway.admission import Door
from costweir.gateway.call import Attempt, Call, Ending
from costweir.gateway.exchange import Exchange
from costweir.gateway.heads import added, passed_on
from costweir.gateway.metrics import LOST
from costweir.gateway.names import request_id
from costweir.gateway.providers.kinds import FORWARDED
from costweir.gateway.queueing import Queue
from costweir.gateway.relay import Manner, Relay
from costweir.gateway.roster import Served
from costweir.gateway.routes import Form
from costweir.gateway.splice import join
from costweir.gateway.tightening import tighter
from costweir.gateway.turned import Turned
from costweir.gateway.upstream.faults import AddressRefused, UpstreamFault
from costweir.gateway.upstream.reply import Reply
from costweir.guard.bounds import Bound, Cost, plan
from costweir.guard.ledger import Ask, Hold, Ledger, Refusal

if TYPE_CHECKING:
    from costweir.gateway.witness import Witness

_LOG = logging.getLogger("costweir.gateway")
#: A provider's answers that may be different a moment later.
_PASSING = frozenset({429, 500, 502, 503, 504, 529})
#: Seconds between two renewals; a lease is ten minutes.
RENEW_SECONDS = 60
_PAUSE_SECONDS = 0.05


@dataclass(slots=True)
class Failed:
    """An attempt whose provider did not serve the call. `reply` is what the provider said, if it said anything."""

    turned: Turned
    status: int = 0
    reply: Reply | None = None
    body: bytes = b""
    passing: bool = False
    """True when the same provider may do better in a moment."""
    elsewhere: bool = True
    """True when another provider may do better."""


@dataclass(slots=True)
class Serving:
    """The request path of one gateway process."""

    loop: asyncio.AbstractEventLoop
    door: Door
    ledger: Ledger
    witness: Witness
    abandoned_seconds: float = 60
    queue_seconds: float = 2
    queue: Queue = field(init=False)
    under_way: set[int] = field(default_factory=set[int])
    """The attempts that have not ended."""

    def __post_init__(self) -> None:
        self.queue = Queue(self.loop, self.queue_seconds)

    def not_ready(self) -> str:
        """Why calls cannot be served now, or nothing."""
        return "" if self.ledger.available else "the ledger cannot be used"

    def gauges(self) -> dict[str, int]:
        """What is of the moment, for the metrics."""
        links = self.door.roster.links.values()
        return {
            **{f"ledger_{name}": value for name, value in self.ledger.stats().items()},
            "upstream_connections": sum(link.pool.open for link in links),
            "breakers_open": sum(link.breaker.is_open for link in links),
            "waiting": self.queue.waiting,
            LOST: self.witness.dropped,
        }

    async def renew(self) -> None:
        """Renews the leases of what is under way, until it is cancelled; a long answer is no lost one."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            for attempt in self.under_way:
                self.ledger.extend(attempt)

    # what the protocol calls

    async def handle(self, exchange: Exchange) -> None:
        """Answers one request. Every way out writes a reply, and every hold ends."""
        self.witness.metrics.in_flight += 1
        try:
            call = self.door.admit(exchange)
            try:
                await self._serve(call)
            except Turned as turned:
                self._turn_away(exchange, turned, call.id, call)
        except Turned as turned:
            self._turn_away(exchange, turned, request_id(), None)
        except asyncio.CancelledError:
            exchange.break_off()
            raise
        except Exception:  # noqa: BLE001 - the edge: whatever it was, the caller gets an answer
            _LOG.exception("gateway: this is a fault in Costweir")
            turned = Turned("internal", "The gateway failed.", hint="Its log has the cause.")
            self._turn_away(exchange, turned, request_id(), None)
            exchange.break_off()
        finally:
            self.witness.metrics.in_flight -= 1

    def turn_away(self, exchange: Exchange, status: int) -> None:
        """Answers a request that is not read to its end."""
        if status == 413:
            turned = Turned("too_large", "The request is larger than the gateway takes.", hint="Send less.")
        else:
            turned = Turned(
                "wrong_host", "The gateway does not answer to this name.", hint="Use its address."
            )
        self._turn_away(exchange, turned, request_id(), None)

    def _turn_away(self, exchange: Exchange, turned: Turned, name: str, call: Call | None) -> None:
        status, head, body = self.turned(exchange.route.form, turned, name, call)
        exchange.reply(status, head, body)

    def turned(self, form: Form, turned: Turned, name: str, call: Call | None) -> apis.Written:
        """The reply to a call that is not forwarded, which is told, and kept for `why`."""
        if call is not None:
            turned.subject = call.subject
        if not turned.attempted:
            self.ledger.refused(*turned.kept(name))
        self.witness.turned(turned.code, name, call)
        return apis.turned_body(form, turned, name, self.witness.why(name))

    # the way of a call

    async def _serve(self, call: Call) -> None:
        if not call.exchange.route.billed:
            await self._unbilled(call)
            return
        model: Served | None = call.asked
        rest = self.door.stand_ins(call, call.asked.fallback)
        retries = model.link.retries
        failed: Failed | None = None
        while model is not None:
            if model.link.breaker.admits(self.loop.time()):
                tried = await self._try(call, model)
                if tried is None:
                    return
                failed = tried
                if failed.passing and retries > 0 and not call.exchange.disconnected:
                    retries -= 1
                    self.witness.metrics.retries[model.link.id] += 1
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                if not failed.elsewhere:
                    break
            model = rest.pop(0) if rest else None
            retries = 0 if model is None else model.link.retries
        self._give_up(call, failed)

    async def _try(self, call: Call, model: Served) -> Failed | None:
        """One attempt; None when the caller has its reply. Raises Turned."""
        models, bounds = self._choices(call, model)
        hold = await self._hold(call, models, bounds)
        if hold is None:
            return None
        chosen, bound = models[hold.choice], bounds[hold.choice]
        self.under_way.add(hold.attempt)
        try:
            with Attempt(self.ledger, call, chosen, hold=hold, bound=bound) as attempt:
                return await self._forward(call, attempt)
        finally:
            self.under_way.discard(hold.attempt)

    def _choices(self, call: Call, model: Served) -> tuple[list[Served], list[Bound]]:
        """The model and its stand-ins that can do what the request needs, each with its worst case."""
        models, bounds = [model], [plan(call.shape, model.terms)]
        for other in self.door.stand_ins(call, model.degrade_to):
            if not other.link.breaker.is_open:
                models.append(other)
                bounds.append(plan(call.shape, other.terms))
        return models, bounds

    async def _hold(self, call: Call, models: list[Served], bounds: list[Bound]) -> Hold | None:
        """Room for one attempt; None after the refusal was written."""
        candidates = (bounds[0].candidate(), *[bound.candidate() for bound in bounds[1:]])
        again = models[0].terms.tokenizer != ""
        ask = Ask(call.id, call.subject, candidates, call.identity.no_degrade, waits=True, again=again)
        answer = await self._asked(call, ask)
        if again and isinstance(answer, Refusal) and answer.code == "budget_exceeded":
            bounds[:] = await tighter(call.shape, models, bounds, answer)
            candidates = tuple(bound.candidate() for bound in bounds)
            answer = await self._asked(call, replace(ask, candidates=candidates, again=False))
        if isinstance(answer, Refusal):
            status, head, body = apis.refusal_reply(
                call.exchange.route.form, answer, self.witness.why(call.id)
            )
            call.exchange.reply(status, head, body)
            self.witness.refused(answer, call)
            return None
        return answer

    async def _asked(self, call: Call, ask: Ask) -> Hold | Refusal:
        """What the ledger says, after a moment in the queue where that helps."""
        if self.queue.waiting:
            answer = await self.queue.reserve(self.ledger, ask, call.exchange)
        else:
            began = perf_counter()
            answer = await self.ledger.reserve(ask, send=True)
            self.witness.metrics.reserve.add(int((perf_counter() - began) * 1_000_000))
            if isinstance(answer, Refusal) and answer.code == "rate_limited":
                answer = await self.queue.wait(self.ledger, ask, call.exchange, refusal=answer)
        return answer

    async def _forward(self, call: Call, attempt: Attempt) -> Failed | None:
        link = attempt.model.link
        request = self._request(call, attempt)
        try:
            connection = await link.pool.connection()
        except (UpstreamFault, AddressRefused) as fault:
            return self._unreached(attempt, fault)
        reply = link.pool.send(connection, request)
        try:
            if call.shape.stream:
                await reply.head()
                if reply.status == 200 and reply.header(b"content-type").startswith(b"text/event-stream"):
                    return await self._relay(call, attempt, reply)
            body = await reply.body()
        except UpstreamFault as fault:
            return self._lost(attempt, fault)
        finally:
            link.pool.give_back(connection)
        return self._answer(call, attempt, reply, body)

    def _request(self, call: Call, attempt: Attempt) -> bytes:
        """The caller's body with what has to be set: the name of the model, the cap, and usage in streams."""
        model, route = attempt.model, call.exchange.route
        changes: dict[str, object] = {}
        if model.upstream != call.shape.model:
            changes["model"] = model.upstream
        if attempt.hold.cap != call.shape.cap or call.shape.cap_fields != attempt.bound.cap_fields:
            changes.update(dict.fromkeys(attempt.bound.cap_fields, attempt.hold.cap))
        if route.form == "openai.chat" and call.shape.stream and not call.shape.stream_usage:
            changes["stream_options"] = apis.with_usage(call.pieces.get("stream_options"))
        extra = _forwarded(call)
        return model.link.request(route.upstream, join(call.pieces, changes), request_id=call.id, extra=extra)

    # how attempts end

    def _ending(self, attempt: Attempt, outcome: str, error: str = "") -> Ending:
        return Ending(outcome, error, micros=int((perf_counter() - attempt.call.began) * 1_000_000))

    def _unreached(self, attempt: Attempt, fault: UpstreamFault | AddressRefused) -> Failed:
        """The provider never saw the request."""
        kind = fault.kind if isinstance(fault, UpstreamFault) else "address_refused"
        if kind != "busy":
            attempt.model.link.breaker.failed(self.loop.time())
        ending = self._ending(attempt, "error", kind)
        ending.detail = fault.message
        attempt.release(kind, ending)
        self.witness.ended(attempt, ending)
        return Failed(_out_of_reach(fault), passing=kind == "connect")

    def _lost(self, attempt: Attempt, fault: UpstreamFault) -> Failed:
        """The provider may have seen the request and gave no whole reply."""
        attempt.model.link.breaker.failed(self.loop.time())
        ending = self._ending(attempt, "error", fault.kind)
        ending.detail = fault.message
        attempt.charge(ending)
        self.witness.ended(attempt, ending)
        timed_out = fault.kind.endswith("timeout")
        turned = Turned(
            "upstream_timeout" if timed_out else "upstream_failed", fault.message, hint=fault.hint
        )
        return Failed(turned, passing=not timed_out and fault.kind != "too_large")

    def _answer(self, call: Call, attempt: Attempt, reply: Reply, body: bytes) -> Failed | None:
        """A whole reply: settled and passed on, or a failure that may be tried again."""
        breaker, status = attempt.model.link.breaker, reply.status
        if 200 <= status < 300:
            breaker.succeeded()
            found = apis.read_reply(call.exchange.route.form, body)
            ending = self._ending(attempt, "aborted" if call.exchange.disconnected else "ok")
            ending.finish, ending.response_model = found.finish, found.model
            cost = attempt.price(found)
            # The caller has waited long enough; what follows is for the books, and nothing comes in between.
            call.exchange.reply(status, self._head(attempt, reply, cost), attempt.model.link.masked(body))
            attempt.settle(found, cost, ending)
            self.witness.ended(attempt, ending)
            return None
        if 400 <= status < 500:
            breaker.succeeded()
            ending = self._ending(attempt, "error", f"upstream_{status}")
            attempt.release(f"upstream_{status}", ending)
        else:
            breaker.failed(self.loop.time())
            ending = self._ending(attempt, "error", f"upstream_{status}")
            attempt.charge(ending)
        self.witness.ended(attempt, ending)
        elsewhere = status in (401, 403, 404, 408) or status in _PASSING or status >= 500
        turned = Turned("upstream_failed", f"The provider answered {status}.", hint="Trying again may help.")
        return Failed(turned, status, reply, body, passing=status >= 500, elsewhere=elsewhere)

    async def _relay(self, call: Call, attempt: Attempt, reply: Reply) -> None:
        """A stream: begun at once, settled when the provider has ended."""
        exchange = call.exchange
        reader = apis.stream_reader(exchange.route.form)

        def cost() -> int | None:
            found = attempt.price(reader.reply())
            return None if found is None else found.nano

        hides = exchange.route.family == "openai" and not call.shape.stream_usage
        manner = Manner(hides, self.abandoned_seconds, attempt.model.link.masked, cost)
        relay = Relay(exchange, reply, reader, loop=self.loop, manner=manner)
        if not exchange.disconnected:
            exchange.begin(200, self._head(attempt, reply))
        reply.pipe(relay)
        await relay.done
        found = reader.reply()
        outcome = "aborted" if exchange.disconnected else "ok" if relay.fault is None else "error"
        ending = self._ending(attempt, outcome, relay.fault.kind if relay.fault is not None else "")
        ending.finish, ending.response_model = found.finish, found.model
        if relay.first is not None:
            ending.first_token_ms = int((relay.first - call.began) * 1_000)
        if relay.fault is None:
            attempt.model.link.breaker.succeeded()
            exchange.end()
            attempt.settle(found, attempt.price(found), ending)
        else:
            if not exchange.disconnected:
                attempt.model.link.breaker.failed(self.loop.time())
            attempt.charge(ending)
            exchange.write(
                apis.stream_error(
                    exchange.route.form, relay.fault.message, call.id, self.witness.why(call.id)
                )
            )
            exchange.break_off()
        self.witness.ended(attempt, ending)

    def _give_up(self, call: Call, failed: Failed | None) -> None:
        """The last failure, as the provider said it where that is fit to be passed on."""
        if failed is None:
            raise Turned(
                "upstream_unavailable", "The provider failed several times and is left alone for a moment.",
                hint="Try again in a moment.", retry_after=call.asked.link.breaker.seconds,
            )  # fmt: skip
        if failed.reply is None or failed.status in (401, 403) or failed.status < 400:
            # What a provider says about our own key is not for the caller.
            failed.turned.attempted = True
            raise failed.turned
        body = failed.body
        for link in self.door.roster.links.values():
            body = link.masked(body)
        head = passed_on(failed.reply.headers) + f"x-costweir-request-id: {call.id}\r\n".encode()
        call.exchange.reply(failed.status, head, body)
        self.witness.failed(call, failed.turned.code)

    def _head(self, attempt: Attempt, reply: Reply, cost: Cost | None = None) -> bytes:
        """The header of a reply that cost so much; what is not known yet, or not at all, is charged as it is held."""
        own = added(
            attempt.call.id, model=attempt.model.id, asked=attempt.call.asked.id, hold=attempt.hold,
            cost=None if cost is None else cost.nano, charged=attempt.hold.held if cost is None else cost.nano,
        )  # fmt: skip
        return passed_on(reply.headers) + own

    async def _unbilled(self, call: Call) -> None:
        """A path that costs nothing: forwarded without a hold."""
        link = call.asked.link
        body = join(call.pieces, {"model": call.asked.upstream})
        extra = _forwarded(call)
        request = link.request(call.exchange.route.upstream, body, request_id=call.id, extra=extra)
        try:
            connection = await link.pool.connection()
            reply = link.pool.send(connection, request)
            try:
                found = await reply.body()
            finally:
                link.pool.give_back(connection)
        except (UpstreamFault, AddressRefused) as fault:
            raise _out_of_reach(fault) from None
        if reply.status in (401, 403):
            raise Turned("upstream_failed", f"The provider answered {reply.status}.")
        head = passed_on(reply.headers) + f"x-costweir-request-id: {call.id}\r\n".encode()
        call.exchange.reply(reply.status, head, link.masked(found))


def _out_of_reach(fault: UpstreamFault | AddressRefused) -> Turned:
    """What a caller hears of a provider that was not reached: nothing of where it is."""
    busy = isinstance(fault, UpstreamFault) and fault.kind == "busy"
    text = fault.message if busy else "The provider of this model cannot be reached."
    return Turned(
        "upstream_unavailable",
        text,
        hint="Trying again may help.",
        detail="" if busy else fault.message,
        retry_after=1,
    )


def _forwarded(call: Call) -> list[tuple[bytes, bytes]]:
    """The caller's headers that reach the provider."""
    if call.exchange.route.family == "openai":
        return []
    return [pair for pair in call.exchange.headers if pair[0] in FORWARDED]
