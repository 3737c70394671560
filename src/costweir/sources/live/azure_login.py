"""Tokens for Azure's management API, by service principal or managed identity. The library is an extra and is loaded
when a token is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from costweir.errors import ConfigError, NotAllowed, Unreachable

#: Gives a bearer token that is valid now. Raises NotAllowed or Unreachable.
Token = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. All three make a service principal; without a secret it is the machine's managed identity, of which
    `client_id` names one where there are several."""

    tenant_id: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Principal:
        """By AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, as Azure's own tools have it."""
        names = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
        return cls(*(environ.get(name, "") for name in names))


@cache
def facts() -> Mapping[str, Any]:
    """The content of `azure.yaml`."""
    import yaml

    text = resources.files("costweir.sources.live").joinpath("azure.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def login(
    principal: Principal, *, endpoint: str = "https://management.azure.com", authority: str = ""
) -> Token:
    """A token provider for `endpoint`; `authority` is the login service where it is not the public one.

    Raises ConfigError when the library is missing, or a service principal is not complete.
    """
    try:
        from azure.identity import ClientSecretCredential, ManagedIdentityCredential
    except ImportError as error:
        raise ConfigError(
            "Asking Azure needs the extra package azure-identity.",
            hint="Install it: pip install 'costweir[azure]'",
        ) from error
    credential: Any
    if principal.client_secret:
        if not (principal.tenant_id and principal.client_id):
            raise ConfigError(
                "The service principal has a secret but no tenant_id or no client_id.",
                hint="Set AZURE_TENANT_ID and AZURE_CLIENT_ID, or the options of the source.",
            )
        where = {"authority": authority} if authority else {}
        credential = ClientSecretCredential(
            principal.tenant_id, principal.client_id, principal.client_secret, **where
        )
        kind = "service principal"
    else:
        credential = ManagedIdentityCredential(client_id=principal.client_id or None)
        kind = "managed identity"
    audience = facts()["clouds"].get(endpoint, f"{endpoint}/.default")
    return lambda: _token(credential, audience, kind)


def _token(credential: Any, audience: str, kind: str) -> str:
    from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError, ServiceResponseError
    from azure.identity import CredentialUnavailableError

    try:
        return credential.get_token(audience).token
    except CredentialUnavailableError as error:
        raise NotAllowed(
            f"This machine has no {kind} at Azure.",
            hint="Give a service principal: tenant_id, client_id and the variable with its secret.",
        ) from error
    except ClientAuthenticationError as error:
        said = " ".join(str(error).split())[:200]
        raise NotAllowed(
            f"Azure does not accept the {kind}.",
            hint=f"Its secret may have expired: renew it, or check tenant and client id. {said}",
        ) from error
    except (ServiceRequestError, ServiceResponseError) as error:
        raise Unreachable("Azure's login does not answer.", hint="Check network and proxy.") from error
