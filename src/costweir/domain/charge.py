"""The Charge: one invoiced line, as a list of columns that every engine's table is made from.

Names are FOCUS 1.2 columns in snake_case (`focus` holds the FOCUS spelling); our own start with `x_`, except the
three calendar columns that let the restricted SQL dialect do without date functions. Every amount is fixed point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: text, bool, int, day (DATE), instant (UTC TIMESTAMP), money (18 places), quantity (12 places), json (text)
Kind = Literal["text", "bool", "int", "day", "instant", "money", "quantity", "json"]

#: The member that stands for "no customer / project / feature on the line". It is part of every total (law L4).
UNTAGGED = "untagged"
#: The plan of a customer who has none; a line without a customer is `untagged` in every dimension.
NO_PLAN = "no plan"
#: The model of a line whose strings no rule knows. Kept, counted and shown (law L5).
UNKNOWN = "unknown"

TOKEN_CLASSES = ("input", "output", "cache_read", "cache_write", "image", "audio", "embedding", "other")
CHARGE_CATEGORIES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its kind, the FOCUS column it holds (empty for our own) and what it means."""

    name: str
    kind: Kind
    focus: str
    meaning: str
    required: bool = False


def _c(name: str, kind: Kind, focus: str = "", meaning: str = "", *, required: bool = False) -> Column:
    return Column(name, kind, focus, meaning, required)


CHARGE_COLUMNS: tuple[Column, ...] = (
    # who is billed, for which month, in which money
    _c(
        "billing_account_id",
        "text",
        "BillingAccountId",
        "payer account, billing account or enrolment",
        required=True,
    ),
    _c("billing_account_name", "text", "BillingAccountName", "display name of the billing account"),
    _c(
        "billing_currency", "text", "BillingCurrency", "ISO 4217 code of every cost on the row", required=True
    ),
    _c("billing_period_start", "day", "BillingPeriodStart", "first day of the invoice month", required=True),
    _c("billing_period_end", "day", "BillingPeriodEnd", "first day after the invoice month", required=True),
    _c("invoice_id", "text", "InvoiceId", "empty while the month is open"),
    _c("invoice_issuer_name", "text", "InvoiceIssuerName", "who sends the invoice"),
    _c("provider_name", "text", "ProviderName", "who provides the service, as the bill says it"),
    _c("publisher_name", "text", "PublisherName", "who makes it; the model vendor on a marketplace line"),
    _c("sub_account_id", "text", "SubAccountId", "linked account, project or subscription"),
    _c("sub_account_name", "text", "SubAccountName", "its display name"),
    # what kind of charge, and when
    _c(
        "charge_category",
        "text",
        "ChargeCategory",
        "Usage, Purchase, Tax, Credit or Adjustment",
        required=True,
    ),
    _c("charge_class", "text", "ChargeClass", "Correction when it corrects an earlier invoice, else empty"),
    _c("charge_description", "text", "ChargeDescription", "the bill's own sentence"),
    _c("charge_frequency", "text", "ChargeFrequency", "Usage-Based, Recurring or One-Time"),
    _c("charge_period_start", "instant", "ChargePeriodStart", "inclusive, UTC", required=True),
    _c("charge_period_end", "instant", "ChargePeriodEnd", "exclusive, UTC"),
    # the four costs
    _c(
        "billed_cost",
        "money",
        "BilledCost",
        "what is invoiced for the row, credits on the row included",
        required=True,
    ),
    _c(
        "effective_cost",
        "money",
        "EffectiveCost",
        "billed, with commitments spread over what used them",
        required=True,
    ),
    _c("list_cost", "money", "ListCost", "at public prices"),
    _c("contracted_cost", "money", "ContractedCost", "at negotiated prices, before commitments"),
    _c("list_unit_price", "money", "ListUnitPrice", "public price of one pricing unit"),
    _c("contracted_unit_price", "money", "ContractedUnitPrice", "negotiated price of one pricing unit"),
    # how much of what
    _c("consumed_quantity", "quantity", "ConsumedQuantity", "in consumed_unit; tokens where they are known"),
    _c("consumed_unit", "text", "ConsumedUnit", "Tokens, Hours, Images ..."),
    _c("pricing_quantity", "quantity", "PricingQuantity", "in pricing_unit, the block that has a price"),
    _c("pricing_unit", "text", "PricingUnit", "1K tokens, 1M tokens, Units ..."),
    _c("pricing_category", "text", "PricingCategory", "Standard, Dynamic, Committed or Other"),
    _c("commitment_discount_id", "text", "CommitmentDiscountId", "reservation or savings plan"),
    _c("commitment_discount_type", "text", "CommitmentDiscountType", "the provider's word for it"),
    _c("commitment_discount_status", "text", "CommitmentDiscountStatus", "Used or Unused"),
    # where and on what
    _c("region_id", "text", "RegionId", "the provider's region code"),
    _c("region_name", "text", "RegionName", "its display name"),
    _c("resource_id", "text", "ResourceId", "inference profile, endpoint, deployment or resource"),
    _c("resource_name", "text", "ResourceName", "its display name"),
    _c("resource_type", "text", "ResourceType", "its kind"),
    _c("service_category", "text", "ServiceCategory", "FOCUS category: AI and Machine Learning ..."),
    _c("service_subcategory", "text", "ServiceSubcategory", "FOCUS subcategory"),
    _c("service_name", "text", "ServiceName", "service or product as billed", required=True),
    _c("sku_id", "text", "SkuId", "stable id of the SKU or meter"),
    _c("sku_meter", "text", "SkuMeter", "what is measured, as billed"),
    _c("sku_price_id", "text", "SkuPriceId", "id of the price, where the bill has one"),
    _c(
        "sku_price_details",
        "json",
        "SkuPriceDetails",
        "price-relevant properties, FOCUS draft names for models",
    ),
    _c("tags", "json", "Tags", "all tags and labels, one object, never multiplied into rows"),
    # ours: where the row came from
    _c("x_provider", "text", meaning="aws, gcp, azure, openai, anthropic ... lower case", required=True),
    _c("x_source", "text", meaning="the reader: aws-cur, aws-cur2, aws-focus, gcp-export ...", required=True),
    _c("x_account", "text", meaning="account part of the replace key", required=True),
    _c("x_period", "text", meaning="invoice month YYYY-MM, period part of the replace key", required=True),
    _c("x_run_id", "text", meaning="the run that loaded the row", required=True),
    _c("x_file", "text", meaning="file name inside that run"),
    _c("x_usage_type", "text", meaning="usage type, SKU text or meter name, verbatim"),
    _c("x_operation", "text", meaning="operation or meter category, verbatim"),
    _c("x_line_type", "text", meaning="the bill's own line or cost type, verbatim"),
    _c("x_credit_cost", "money", meaning="credits inside billed_cost, zero or negative"),
    _c("x_credits", "json", meaning="those credits one by one, where the bill lists them"),
    _c("x_principal", "text", meaning="IAM principal or caller, where the bill has it"),
    _c("x_resource_group", "text", meaning="Azure resource group, lower case"),
    # ours: the same costs in US dollars, null while no rate is known
    _c("x_billed_usd", "money", meaning="billed_cost in USD"),
    _c("x_effective_usd", "money", meaning="effective_cost in USD"),
    _c("x_list_usd", "money", meaning="list_cost in USD"),
    _c("x_contracted_usd", "money", meaning="contracted_cost in USD"),
    # ours: what the line means
    _c("x_is_ai", "bool", meaning="false only for rows kept by --all-services", required=True),
    _c("x_model", "text", meaning="vendor's API id in lower case, or unknown", required=True),
    _c("x_model_developer", "text", meaning="anthropic, openai, google, amazon, meta ..."),
    _c(
        "x_token_class",
        "text",
        meaning="input, output, cache_read, cache_write, image, audio ...",
        required=True,
    ),
    _c("x_direction", "text", meaning="input or output"),
    _c("x_modality", "text", meaning="text, image, audio, video, embedding ..."),
    _c("x_cache_action", "text", meaning="read or write"),
    _c("x_cache_ttl", "text", meaning="5m, 30m, 1h"),
    _c("x_tier", "text", meaning="standard, batch, flex, priority, provisioned ..."),
    _c("x_routing", "text", meaning="global, datazone, regional, geo"),
    _c("x_context_band", "text", meaning="short or long"),
    _c("x_tokens", "quantity", meaning="single tokens; null where the unit is not tokens"),
    _c("x_mapping_rule", "text", meaning="id of the classification rule that hit"),
    _c("x_mapping_confidence", "text", meaning="high, medium, low or none"),
    # ours: who it is for
    _c("x_customer", "text", meaning="customer id or untagged", required=True),
    _c("x_customer_rule", "text", meaning="the attribution rule that hit"),
    _c("x_project", "text", meaning="project id or untagged", required=True),
    _c("x_project_rule", "text", meaning="the attribution rule that hit"),
    _c("x_feature", "text", meaning="feature name or untagged", required=True),
    _c("x_feature_rule", "text", meaning="the attribution rule that hit"),
    # calendar columns, stored so that no engine needs a date function
    _c("usage_date", "day", meaning="UTC day of charge_period_start", required=True),
    _c("usage_hour", "int", meaning="UTC hour 0-23", required=True),
    _c("iso_dow", "int", meaning="Monday 1 to Sunday 7", required=True),
    _c("usage_month", "text", meaning="YYYY-MM of usage_date", required=True),
    # a table that grows gets a column at its end, so this order is that of the migrations
    _c("x_credit_usd", "money", meaning="x_credit_cost in USD"),
    # what the meaning was read from, so that a stored line can be given another meaning
    _c("x_line_service", "text", meaning="the service that the meaning was read from"),
    _c("x_line_text", "text", meaning="the text that the meaning was read from"),
    _c("x_line_unit", "text", meaning="the unit that the meaning was read from"),
    _c("x_line_facts", "json", meaning="what the bill itself says about the model, where it does"),
    _c("x_line_quantity", "quantity", meaning="how many of x_line_unit"),
    _c("x_consumed_quantity", "quantity", meaning="consumed_quantity as the bill says it, before tokens"),
    _c("x_consumed_unit", "text", meaning="consumed_unit as the bill says it"),
)

CHARGE_COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in CHARGE_COLUMNS)
