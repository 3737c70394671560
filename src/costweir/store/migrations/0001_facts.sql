-- The facts and what is known about them. Types are written so that every engine reads them unchanged.
-- Money has 18 places and quantities have 12 (law L10). No table has a key that a bill could violate.

CREATE TABLE charges (
  billing_account_id         TEXT NOT NULL,
  billing_account_name       TEXT,
  billing_currency           TEXT NOT NULL,
  billing_period_start       DATE NOT NULL,
  billing_period_end         DATE NOT NULL,
  invoice_id                 TEXT,
  invoice_issuer_name        TEXT,
  provider_name              TEXT,
  publisher_name             TEXT,
  sub_account_id             TEXT,
  sub_account_name           TEXT,
  charge_category            TEXT NOT NULL,
  charge_class               TEXT,
  charge_description         TEXT,
  charge_frequency           TEXT,
  charge_period_start        TIMESTAMP NOT NULL,
  charge_period_end          TIMESTAMP,
  billed_cost                DECIMAL(38,18) NOT NULL,
  effective_cost             DECIMAL(38,18) NOT NULL,
  list_cost                  DECIMAL(38,18),
  contracted_cost            DECIMAL(38,18),
  list_unit_price            DECIMAL(38,18),
  contracted_unit_price      DECIMAL(38,18),
  consumed_quantity          DECIMAL(38,12),
  consumed_unit              TEXT,
  pricing_quantity           DECIMAL(38,12),
  pricing_unit               TEXT,
  pricing_category           TEXT,
  commitment_discount_id     TEXT,
  commitment_discount_type   TEXT,
  commitment_discount_status TEXT,
  region_id                  TEXT,
  region_name                TEXT,
  resource_id                TEXT,
  resource_name              TEXT,
  resource_type              TEXT,
  service_category           TEXT,
  service_subcategory        TEXT,
  service_name               TEXT NOT NULL,
  sku_id                     TEXT,
  sku_meter                  TEXT,
  sku_price_id               TEXT,
  sku_price_details          TEXT,
  tags                       TEXT,
  x_provider                 TEXT NOT NULL,
  x_source                   TEXT NOT NULL,
  x_account                  TEXT NOT NULL,
  x_period                   TEXT NOT NULL,
  x_run_id                   TEXT NOT NULL,
  x_file                     TEXT,
  x_usage_type               TEXT,
  x_operation                TEXT,
  x_line_type                TEXT,
  x_credit_cost              DECIMAL(38,18),
  x_credits                  TEXT,
  x_principal                TEXT,
  x_resource_group           TEXT,
  x_billed_usd               DECIMAL(38,18),
  x_effective_usd            DECIMAL(38,18),
  x_list_usd                 DECIMAL(38,18),
  x_contracted_usd           DECIMAL(38,18),
  x_is_ai                    BOOLEAN NOT NULL,
  x_model                    TEXT NOT NULL,
  x_model_developer          TEXT,
  x_token_class              TEXT NOT NULL,
  x_direction                TEXT,
  x_modality                 TEXT,
  x_cache_action             TEXT,
  x_cache_ttl                TEXT,
  x_tier                     TEXT,
  x_routing                  TEXT,
  x_context_band             TEXT,
  x_tokens                   DECIMAL(38,12),
  x_mapping_rule             TEXT,
  x_mapping_confidence       TEXT,
  x_customer                 TEXT NOT NULL,
  x_customer_rule            TEXT,
  x_project                  TEXT NOT NULL,
  x_project_rule             TEXT,
  x_feature                  TEXT NOT NULL,
  x_feature_rule             TEXT,
  usage_date                 DATE NOT NULL,
  usage_hour                 BIGINT NOT NULL,
  iso_dow                    BIGINT NOT NULL,
  usage_month                TEXT NOT NULL
);

-- One row a day and meaning, kept in step with charges inside every replace. The costs are sums over its charges.
CREATE TABLE charges_daily (
  usage_date           DATE NOT NULL,
  usage_month          TEXT NOT NULL,
  iso_dow              BIGINT NOT NULL,
  x_provider           TEXT NOT NULL,
  x_source             TEXT NOT NULL,
  x_account            TEXT NOT NULL,
  x_period             TEXT NOT NULL,
  service_name         TEXT NOT NULL,
  x_model              TEXT NOT NULL,
  x_model_developer    TEXT NOT NULL,
  x_token_class        TEXT NOT NULL,
  x_direction          TEXT NOT NULL,
  x_tier               TEXT NOT NULL,
  x_customer           TEXT NOT NULL,
  x_project            TEXT NOT NULL,
  x_feature            TEXT NOT NULL,
  charge_category      TEXT NOT NULL,
  billing_currency     TEXT NOT NULL,
  x_is_ai              BOOLEAN NOT NULL,
  x_has_usd            BOOLEAN NOT NULL,
  x_has_tokens         BOOLEAN NOT NULL,
  billed_cost          DECIMAL(38,18),
  effective_cost       DECIMAL(38,18),
  list_cost            DECIMAL(38,18),
  contracted_cost      DECIMAL(38,18),
  x_credit_cost        DECIMAL(38,18),
  x_billed_usd         DECIMAL(38,18),
  x_effective_usd      DECIMAL(38,18),
  x_list_usd           DECIMAL(38,18),
  x_contracted_usd     DECIMAL(38,18),
  x_tokens             DECIMAL(38,12),
  line_count           BIGINT NOT NULL,
  without_list         BIGINT NOT NULL,
  without_contracted   BIGINT NOT NULL
);

-- What is stored for each slot, and where it came from: the truth about charges.
CREATE TABLE loads (
  x_provider       TEXT NOT NULL,
  x_account        TEXT NOT NULL,
  x_period         TEXT NOT NULL,
  x_source         TEXT NOT NULL,
  x_run_id         TEXT NOT NULL,
  loaded_at        TIMESTAMP NOT NULL,
  rows_in          BIGINT NOT NULL,
  rows_stored      BIGINT NOT NULL,
  rows_skipped     BIGINT NOT NULL,
  rows_quarantined BIGINT NOT NULL,
  billed_total     DECIMAL(38,18) NOT NULL,
  file_total       DECIMAL(38,18) NOT NULL,
  total_currency   TEXT NOT NULL,
  content_hash     TEXT NOT NULL,
  rules_hash       TEXT NOT NULL,
  first_day        DATE,
  last_day         DATE,
  is_sample        BOOLEAN NOT NULL
);

-- Lines that could not be read, as they stood in the file (law L7).
CREATE TABLE quarantine (
  x_provider TEXT NOT NULL,
  x_account  TEXT NOT NULL,
  x_period   TEXT NOT NULL,
  x_run_id   TEXT NOT NULL,
  x_source   TEXT NOT NULL,
  x_file     TEXT,
  row_number BIGINT,
  reason     TEXT NOT NULL,
  raw_text   TEXT
);

CREATE TABLE calls (
  call_id               TEXT NOT NULL,
  request_id            TEXT,
  trace_id              TEXT,
  span_id               TEXT,
  started_at            TIMESTAMP NOT NULL,
  ended_at              TIMESTAMP,
  duration_ms           BIGINT,
  first_token_ms        BIGINT,
  provider              TEXT NOT NULL,
  service               TEXT,
  operation             TEXT,
  model                 TEXT NOT NULL,
  request_model         TEXT,
  response_model        TEXT,
  degraded_from         TEXT,
  region                TEXT,
  customer              TEXT NOT NULL,
  project               TEXT NOT NULL,
  feature               TEXT NOT NULL,
  session_id            TEXT NOT NULL,
  end_user              TEXT,
  key_id                TEXT NOT NULL,
  plan_tier             TEXT,
  query_type            TEXT,
  environment           TEXT,
  uncached_input_tokens BIGINT,
  cache_read_tokens     BIGINT,
  cache_write_5m_tokens BIGINT,
  cache_write_1h_tokens BIGINT,
  audio_input_tokens    BIGINT,
  image_input_tokens    BIGINT,
  text_output_tokens    BIGINT,
  reasoning_tokens      BIGINT,
  audio_output_tokens   BIGINT,
  image_output_tokens   BIGINT,
  outcome               TEXT NOT NULL,
  error_type            TEXT,
  finish_reason         TEXT,
  reserved_usd          DECIMAL(38,18),
  settled_usd           DECIMAL(38,18),
  price_version         TEXT,
  usage_certainty       TEXT NOT NULL,
  metadata              TEXT,
  usage_date            DATE NOT NULL,
  usage_hour            BIGINT NOT NULL,
  iso_dow               BIGINT NOT NULL,
  usage_month           TEXT NOT NULL
);

-- Mirrors of what people set, so that questions can join them; mirrors says when each was taken.
CREATE TABLE customers (
  id            TEXT NOT NULL,
  name          TEXT,
  plan          TEXT,
  active_since  DATE,
  active_until  DATE
);
CREATE TABLE plans (
  id                TEXT NOT NULL,
  name              TEXT,
  price_usd         DECIMAL(38,18),
  budget_usd        DECIMAL(38,18),
  session_usd       DECIMAL(38,18),
  session_calls     BIGINT,
  tokens_per_minute BIGINT
);
CREATE TABLE budgets (
  id            TEXT NOT NULL,
  scope_kind    TEXT NOT NULL,
  scope_id      TEXT NOT NULL,
  limit_usd     DECIMAL(38,18),
  budget_window TEXT NOT NULL,
  timezone      TEXT,
  mode          TEXT
);
CREATE TABLE customer_approved_models (
  customer_id TEXT NOT NULL,
  model       TEXT NOT NULL
);
CREATE TABLE mirrors (
  table_name  TEXT NOT NULL,
  mirrored_at TIMESTAMP NOT NULL
);

-- What the columns are called by the specification they come from.
COMMENT ON COLUMN charges.billing_account_id IS 'FOCUS BillingAccountId: payer account, billing account or enrolment';
COMMENT ON COLUMN charges.billing_account_name IS 'FOCUS BillingAccountName: display name of the billing account';
COMMENT ON COLUMN charges.billing_currency IS 'FOCUS BillingCurrency: ISO 4217 code of every cost on the row';
COMMENT ON COLUMN charges.billing_period_start IS 'FOCUS BillingPeriodStart: first day of the invoice month';
COMMENT ON COLUMN charges.billing_period_end IS 'FOCUS BillingPeriodEnd: first day after the invoice month';
COMMENT ON COLUMN charges.invoice_id IS 'FOCUS InvoiceId: empty while the month is open';
COMMENT ON COLUMN charges.invoice_issuer_name IS 'FOCUS InvoiceIssuerName: who sends the invoice';
COMMENT ON COLUMN charges.provider_name IS 'FOCUS ProviderName: who provides the service, as the bill says it';
COMMENT ON COLUMN charges.publisher_name IS 'FOCUS PublisherName: who makes it; the model vendor on a marketplace line';
COMMENT ON COLUMN charges.sub_account_id IS 'FOCUS SubAccountId: linked account, project or subscription';
COMMENT ON COLUMN charges.sub_account_name IS 'FOCUS SubAccountName: its display name';
COMMENT ON COLUMN charges.charge_category IS 'FOCUS ChargeCategory: Usage, Purchase, Tax, Credit or Adjustment';
COMMENT ON COLUMN charges.charge_class IS 'FOCUS ChargeClass: Correction when it corrects an earlier invoice, else empty';
COMMENT ON COLUMN charges.charge_description IS 'FOCUS ChargeDescription: the bill''s own sentence';
COMMENT ON COLUMN charges.charge_frequency IS 'FOCUS ChargeFrequency: Usage-Based, Recurring or One-Time';
COMMENT ON COLUMN charges.charge_period_start IS 'FOCUS ChargePeriodStart: inclusive, UTC';
COMMENT ON COLUMN charges.charge_period_end IS 'FOCUS ChargePeriodEnd: exclusive, UTC';
COMMENT ON COLUMN charges.billed_cost IS 'FOCUS BilledCost: what is invoiced for the row, credits on the row included';
COMMENT ON COLUMN charges.effective_cost IS 'FOCUS EffectiveCost: billed, with commitments spread over what used them';
COMMENT ON COLUMN charges.list_cost IS 'FOCUS ListCost: at public prices';
COMMENT ON COLUMN charges.contracted_cost IS 'FOCUS ContractedCost: at negotiated prices, before commitments';
COMMENT ON COLUMN charges.list_unit_price IS 'FOCUS ListUnitPrice: public price of one pricing unit';
COMMENT ON COLUMN charges.contracted_unit_price IS 'FOCUS ContractedUnitPrice: negotiated price of one pricing unit';
COMMENT ON COLUMN charges.consumed_quantity IS 'FOCUS ConsumedQuantity: in consumed_unit; tokens where they are known';
COMMENT ON COLUMN charges.consumed_unit IS 'FOCUS ConsumedUnit: Tokens, Hours, Images ...';
COMMENT ON COLUMN charges.pricing_quantity IS 'FOCUS PricingQuantity: in pricing_unit, the block that has a price';
COMMENT ON COLUMN charges.pricing_unit IS 'FOCUS PricingUnit: 1K tokens, 1M tokens, Units ...';
COMMENT ON COLUMN charges.pricing_category IS 'FOCUS PricingCategory: Standard, Dynamic, Committed or Other';
COMMENT ON COLUMN charges.commitment_discount_id IS 'FOCUS CommitmentDiscountId: reservation or savings plan';
COMMENT ON COLUMN charges.commitment_discount_type IS 'FOCUS CommitmentDiscountType: the provider''s word for it';
COMMENT ON COLUMN charges.commitment_discount_status IS 'FOCUS CommitmentDiscountStatus: Used or Unused';
COMMENT ON COLUMN charges.region_id IS 'FOCUS RegionId: the provider''s region code';
COMMENT ON COLUMN charges.region_name IS 'FOCUS RegionName: its display name';
COMMENT ON COLUMN charges.resource_id IS 'FOCUS ResourceId: inference profile, endpoint, deployment or resource';
COMMENT ON COLUMN charges.resource_name IS 'FOCUS ResourceName: its display name';
COMMENT ON COLUMN charges.resource_type IS 'FOCUS ResourceType: its kind';
COMMENT ON COLUMN charges.service_category IS 'FOCUS ServiceCategory: FOCUS category: AI and Machine Learning ...';
COMMENT ON COLUMN charges.service_subcategory IS 'FOCUS ServiceSubcategory: FOCUS subcategory';
COMMENT ON COLUMN charges.service_name IS 'FOCUS ServiceName: service or product as billed';
COMMENT ON COLUMN charges.sku_id IS 'FOCUS SkuId: stable id of the SKU or meter';
COMMENT ON COLUMN charges.sku_meter IS 'FOCUS SkuMeter: what is measured, as billed';
COMMENT ON COLUMN charges.sku_price_id IS 'FOCUS SkuPriceId: id of the price, where the bill has one';
COMMENT ON COLUMN charges.sku_price_details IS 'FOCUS SkuPriceDetails: price-relevant properties, FOCUS draft names for models';
COMMENT ON COLUMN charges.tags IS 'FOCUS Tags: all tags and labels, one object, never multiplied into rows';
COMMENT ON COLUMN charges.x_provider IS 'aws, gcp, azure, openai, anthropic ... lower case';
COMMENT ON COLUMN charges.x_source IS 'the reader: aws-cur, aws-cur2, aws-focus, gcp-export ...';
COMMENT ON COLUMN charges.x_account IS 'account part of the replace key';
COMMENT ON COLUMN charges.x_period IS 'invoice month YYYY-MM, period part of the replace key';
COMMENT ON COLUMN charges.x_run_id IS 'the run that loaded the row';
COMMENT ON COLUMN charges.x_file IS 'file name inside that run';
COMMENT ON COLUMN charges.x_usage_type IS 'usage type, SKU text or meter name, verbatim';
COMMENT ON COLUMN charges.x_operation IS 'operation or meter category, verbatim';
COMMENT ON COLUMN charges.x_line_type IS 'the bill''s own line or cost type, verbatim';
COMMENT ON COLUMN charges.x_credit_cost IS 'credits inside billed_cost, zero or negative';
COMMENT ON COLUMN charges.x_credits IS 'those credits one by one, where the bill lists them';
COMMENT ON COLUMN charges.x_principal IS 'IAM principal or caller, where the bill has it';
COMMENT ON COLUMN charges.x_resource_group IS 'Azure resource group, lower case';
COMMENT ON COLUMN charges.x_billed_usd IS 'billed_cost in USD';
COMMENT ON COLUMN charges.x_effective_usd IS 'effective_cost in USD';
COMMENT ON COLUMN charges.x_list_usd IS 'list_cost in USD';
COMMENT ON COLUMN charges.x_contracted_usd IS 'contracted_cost in USD';
COMMENT ON COLUMN charges.x_is_ai IS 'false only for rows kept by --all-services';
COMMENT ON COLUMN charges.x_model IS 'vendor''s API id in lower case, or unknown';
COMMENT ON COLUMN charges.x_model_developer IS 'anthropic, openai, google, amazon, meta ...';
COMMENT ON COLUMN charges.x_token_class IS 'input, output, cache_read, cache_write, image, audio ...';
COMMENT ON COLUMN charges.x_direction IS 'input or output';
COMMENT ON COLUMN charges.x_modality IS 'text, image, audio, video, embedding ...';
COMMENT ON COLUMN charges.x_cache_action IS 'read or write';
COMMENT ON COLUMN charges.x_cache_ttl IS '5m, 30m, 1h';
COMMENT ON COLUMN charges.x_tier IS 'standard, batch, flex, priority, provisioned ...';
COMMENT ON COLUMN charges.x_routing IS 'global, datazone, regional, geo';
COMMENT ON COLUMN charges.x_context_band IS 'short or long';
COMMENT ON COLUMN charges.x_tokens IS 'single tokens; null where the unit is not tokens';
COMMENT ON COLUMN charges.x_mapping_rule IS 'id of the classification rule that hit';
COMMENT ON COLUMN charges.x_mapping_confidence IS 'high, medium, low or none';
COMMENT ON COLUMN charges.x_customer IS 'customer id or untagged';
COMMENT ON COLUMN charges.x_customer_rule IS 'the attribution rule that hit';
COMMENT ON COLUMN charges.x_project IS 'project id or untagged';
COMMENT ON COLUMN charges.x_project_rule IS 'the attribution rule that hit';
COMMENT ON COLUMN charges.x_feature IS 'feature name or untagged';
COMMENT ON COLUMN charges.x_feature_rule IS 'the attribution rule that hit';
COMMENT ON COLUMN charges.usage_date IS 'UTC day of charge_period_start';
COMMENT ON COLUMN charges.usage_hour IS 'UTC hour 0-23';
COMMENT ON COLUMN charges.iso_dow IS 'Monday 1 to Sunday 7';
COMMENT ON COLUMN charges.usage_month IS 'YYYY-MM of usage_date';
COMMENT ON COLUMN calls.call_id IS 'the attempt; a call is stored once by it';
COMMENT ON COLUMN calls.request_id IS 'the caller''s request; retries and fallbacks share it';
COMMENT ON COLUMN calls.trace_id IS 'OTel trace_id: W3C trace id';
COMMENT ON COLUMN calls.span_id IS 'OTel span_id: W3C span id';
COMMENT ON COLUMN calls.started_at IS 'UTC';
COMMENT ON COLUMN calls.ended_at IS 'UTC; empty while unknown';
COMMENT ON COLUMN calls.duration_ms IS 'OTel gen_ai.client.operation.duration: whole call, in milliseconds';
COMMENT ON COLUMN calls.first_token_ms IS 'OTel gen_ai.server.time_to_first_token: until the first token, in milliseconds';
COMMENT ON COLUMN calls.provider IS 'OTel gen_ai.provider.name: provider code, lower case';
COMMENT ON COLUMN calls.service IS 'the service as the bill names it, where it is known';
COMMENT ON COLUMN calls.operation IS 'OTel gen_ai.operation.name: chat, embeddings, generate_content ...';
COMMENT ON COLUMN calls.model IS 'vendor''s API id in lower case, or unknown';
COMMENT ON COLUMN calls.request_model IS 'OTel gen_ai.request.model: as asked for';
COMMENT ON COLUMN calls.response_model IS 'OTel gen_ai.response.model: as answered';
COMMENT ON COLUMN calls.degraded_from IS 'the model asked for, when a cheaper one answered';
COMMENT ON COLUMN calls.region IS 'OTel cloud.region: the provider''s region code';
COMMENT ON COLUMN calls.customer IS 'customer id or untagged';
COMMENT ON COLUMN calls.project IS 'project id or untagged';
COMMENT ON COLUMN calls.feature IS 'feature name or untagged';
COMMENT ON COLUMN calls.session_id IS 'OTel gen_ai.conversation.id: session id or untagged';
COMMENT ON COLUMN calls.end_user IS 'OTel user.id: the customer''s own user, where asserted';
COMMENT ON COLUMN calls.key_id IS 'id of the gateway key or untagged';
COMMENT ON COLUMN calls.plan_tier IS 'plan of the customer at the time of the call';
COMMENT ON COLUMN calls.query_type IS 'kind of question, as the caller names it';
COMMENT ON COLUMN calls.environment IS 'OTel deployment.environment.name: production, staging ...';
COMMENT ON COLUMN calls.uncached_input_tokens IS 'text in, neither read from nor written to a cache';
COMMENT ON COLUMN calls.cache_read_tokens IS 'OTel gen_ai.usage.cache_read.input_tokens: read from a cache';
COMMENT ON COLUMN calls.cache_write_5m_tokens IS 'written to a cache that lives five minutes, or for no stated time';
COMMENT ON COLUMN calls.cache_write_1h_tokens IS 'written to a cache that lives an hour';
COMMENT ON COLUMN calls.audio_input_tokens IS 'audio in';
COMMENT ON COLUMN calls.image_input_tokens IS 'image in';
COMMENT ON COLUMN calls.text_output_tokens IS 'text out, reasoning not included';
COMMENT ON COLUMN calls.reasoning_tokens IS 'reasoning out';
COMMENT ON COLUMN calls.audio_output_tokens IS 'audio out';
COMMENT ON COLUMN calls.image_output_tokens IS 'image out';
COMMENT ON COLUMN calls.outcome IS 'ok, error, refused, aborted or cached';
COMMENT ON COLUMN calls.error_type IS 'OTel error.type: the provider''s or our own error code';
COMMENT ON COLUMN calls.finish_reason IS 'OTel gen_ai.response.finish_reasons: the first reason given';
COMMENT ON COLUMN calls.reserved_usd IS 'what was held before the call was sent';
COMMENT ON COLUMN calls.settled_usd IS 'what it cost; null while it is unpriced';
COMMENT ON COLUMN calls.price_version IS 'the price row that was applied';
COMMENT ON COLUMN calls.usage_certainty IS 'reported, estimated or unknown';
COMMENT ON COLUMN calls.metadata IS 'the caller''s own attributes, no content';
COMMENT ON COLUMN calls.usage_date IS 'UTC day of started_at';
COMMENT ON COLUMN calls.usage_hour IS 'UTC hour 0-23';
COMMENT ON COLUMN calls.iso_dow IS 'Monday 1 to Sunday 7';
COMMENT ON COLUMN calls.usage_month IS 'YYYY-MM of usage_date';
