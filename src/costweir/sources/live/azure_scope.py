"""What an Azure scope is: its path, the account its months are stored under, and what it lies in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from costweir.errors import ConfigError

_SUBSCRIPTION = re.compile(
    r"/subscriptions/(?P<id>[^/?#]+)(?:/resourceGroups/(?P<group>[^/?#]+))?", re.IGNORECASE
)
_BILLING = re.compile(
    r"/providers/Microsoft\.Billing/billingAccounts/(?P<id>[^/?#]+)"
    r"(?:/(?:billingProfiles|departments|enrollmentAccounts|customers)/(?P<part>[^/?#]+))?"
    r"(?:/invoiceSections/(?P<section>[^/?#]+))?",
    re.IGNORECASE,
)
_MANAGEMENT = re.compile(r"/providers/Microsoft\.Management/managementGroups/(?P<id>[^/?#]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope of Cost Management. `account` differs for scopes that must not replace each other's months."""

    path: str
    account: str
    subscription: str = ""
    group: str = ""

    @classmethod
    def parse(cls, text: str, account: str = "") -> Scope:
        """Reads a path as the Azure portal shows it; `account` overrides the account. Raises ConfigError."""
        path = "/" + text.strip().strip("/")
        if found := _SUBSCRIPTION.fullmatch(path):
            one, group = found["id"].lower(), (found["group"] or "").lower()
            return cls(path, account or "/".join(filter(None, (one, group))), one, group)
        if found := _BILLING.fullmatch(path) or _MANAGEMENT.fullmatch(path):
            return cls(path, account or "/".join(part for part in found.groups() if part))
        raise ConfigError(
            f"{text!r} is not an Azure scope.",
            hint="Use /subscriptions/<id>, /subscriptions/<id>/resourceGroups/<name> or "
            "/providers/Microsoft.Billing/billingAccounts/<id>.",
        )

    @property
    def quoted(self) -> str:
        """The path as it stands in a URL."""
        return quote(self.path, safe="/:")
