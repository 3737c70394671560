"""The root command and where each noun lives."""

from __future__ import annotations

import click

from costweir import __version__
from costweir.cli.frame import LazyGroup

_NOUNS = {
    "demo": "demo:demo",
    "up": "up:up",
    "connect": "connect:connect",
    "pull": "pull:pull",
    "classify": "classify:classify",
    "mappings": "mappings:mappings",
    "ask": "ask:ask",
    "questions": "questions:questions",
    "models": "models:models",
    "chargeback": "chargeback:chargeback",
    "prices": "prices:prices",
    "alerts": "alerts:alerts",
    "runs": "runs:runs",
    "quarantine": "quarantine:quarantine",
    "export": "export:export",
    "render": "render:render",
    "backup": "backup:backup",
    "doctor": "doctor:doctor",
    "budget": "budget:budget",
    "ledger": "ledger:ledger",
    "why": "why:why",
    "key": "key:key",
    "token": "token:token",
    "audit": "audit:audit",
    "config": "config:config",
    "completion": "completion:completion",
    "version": "version:version",
}


@click.group(
    cls=LazyGroup,
    nouns=_NOUNS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `costweir demo`. Each command has its own --help.",
)
@click.version_option(__version__, message="%(version)s")
def root() -> None:
    """Reads AI bills, holds AI calls at their budget, explains the spend and joins the two."""
