"""Whom a line is for: the rules, their order, and that the SQL says what the plain Python says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costweir.errors import ConfigError
from costweir.sources.attribution import (
    FIELDS,
    AttributionRules,
    LineFacts,
    Rule,
    attribute,
    member_sql,
    name_sql,
    plain_key,
    rule_sql,
)
from costweir.sources.staging.rows import macros

SHIPPED = AttributionRules.load()


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute(macros())
    yield connection
    connection.close()


def by_sql(db: duckdb.DuckDBPyConnection, rules: tuple[Rule, ...], facts: LineFacts) -> tuple[str, str]:
    """What the SQL gives for one line."""
    found = db.execute(
        f"SELECT {member_sql('hit')}, {name_sql('hit', rules)} FROM (SELECT {rule_sql(rules)} AS hit FROM ("
        "SELECT tag_entries(map_entries(tag_map_of($tags))) AS line_tags, "
        "$principal::VARCHAR AS x_principal, $resource::VARCHAR AS resource_id, "
        "$grp::VARCHAR AS x_resource_group, "
        "$account::VARCHAR AS sub_account_id))",
        {
            "tags": json.dumps(dict(facts.tags)),
            "principal": facts.principal,
            "resource": facts.resource,
            "grp": facts.resource_group,
            "account": facts.sub_account,
        },
    ).fetchone()
    assert found is not None
    return found[0], found[1]


class TestTags:
    @pytest.mark.parametrize(
        "key",
        [
            "customer_id", "CustomerId", "customer-id", "CUSTOMER_ID", "user:customer_id", "user_customer_id",
            "resourceTags/user:CustomerId", "iamPrincipal/customer_id", "Customer Id",
            "costweir:customer", "tenant",
        ],
    )  # fmt: skip
    def test_every_spelling_of_the_key_is_found(self, db: duckdb.DuckDBPyConnection, key: str) -> None:
        facts = LineFacts(tags={"team": "x", key: "acme"})
        assert attribute(SHIPPED.customer, facts) == ("acme", "tag")
        assert by_sql(db, SHIPPED.customer, facts) == ("acme", "tag")

    def test_the_exact_spelling_comes_before_a_similar_one(self, db: duckdb.DuckDBPyConnection) -> None:
        facts = LineFacts(tags={"CUSTOMER ID": "similar", "customer_id": "exact"})
        assert attribute(SHIPPED.customer, facts)[0] == by_sql(db, SHIPPED.customer, facts)[0] == "exact"

    @pytest.mark.parametrize("value", ["", "  "])
    def test_an_empty_value_is_no_value(self, db: duckdb.DuckDBPyConnection, value: str) -> None:
        facts = LineFacts(tags={"customer_id": value}, sub_account="1")
        assert attribute(SHIPPED.customer, facts) == by_sql(db, SHIPPED.customer, facts) == ("untagged", "")


@pytest.mark.parametrize(
    ("group", "customer"),
    [
        ("rg-customer-acme-prod", "acme"),
        ("rg-customer-big-bank-of-x-prod", "big-bank-of-x"),
        ("RG-Customer-Acme-Dev", "acme"),
        ("rg-customer-acme", "untagged"),
        ("rg-shared-prod", "untagged"),
        (None, "untagged"),
    ],
)
def test_a_resource_group_gives_the_id_with_its_hyphens(
    db: duckdb.DuckDBPyConnection, group: str | None, customer: str
) -> None:
    facts = LineFacts(resource_group=group)
    assert attribute(SHIPPED.customer, facts)[0] == by_sql(db, SHIPPED.customer, facts)[0] == customer


@pytest.mark.parametrize(
    ("principal", "resource", "customer"),
    [
        ("arn:aws:sts::1:assumed-role/customer-acme", None, "acme"),
        (None, "arn:aws:bedrock:us-east-1:1:application-inference-profile/customer-big-bank", "big-bank"),
        ("arn:aws:sts::1:assumed-role/gateway", "arn:aws:bedrock:::profile/x", "untagged"),
    ],
)
def test_a_principal_or_an_inference_profile_names_the_customer(
    db: duckdb.DuckDBPyConnection, principal: str | None, resource: str | None, customer: str
) -> None:
    facts = LineFacts(principal=principal, resource=resource)
    assert attribute(SHIPPED.customer, facts)[0] == by_sql(db, SHIPPED.customer, facts)[0] == customer


def test_the_account_map_is_asked_last(db: duckdb.DuckDBPyConnection) -> None:
    rules = SHIPPED.with_accounts({"1": "globex"}).customer
    for facts, wanted in (
        (LineFacts(sub_account="1"), ("globex", "account-map")),
        (LineFacts(sub_account="2"), ("untagged", "")),
        (LineFacts(sub_account="1", tags={"customer": "acme"}), ("acme", "tag")),
    ):
        assert attribute(rules, facts) == by_sql(db, rules, facts) == wanted


class TestFiles:
    def test_a_file_replaces_only_the_fields_it_has(self, tmp_path: Path) -> None:
        path = tmp_path / "rules.yaml"
        path.write_text("customer:\n  - name: mine\n    tag: [owner]\n")
        rules = AttributionRules.load(path)
        assert [rule.name for rule in rules.customer] == ["mine"]
        assert rules.project == SHIPPED.project
        assert rules.rules_hash != SHIPPED.rules_hash

    @pytest.mark.parametrize(
        "text",
        [
            "custmer: []\n",
            "customer:\n  - name: x\n",
            "customer:\n  - tag: [a]\n    principal: b\n",
            "customer:\n  - principal: '('\n",
            "customer:\n  - principal: 'no-group'\n",
            "customer:\n  - resource_group: 'rg-prod'\n",
            "- 1\n",
            "a: [\n",
        ],
    )
    def test_a_wrong_file_is_a_wrong_setting(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "rules.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError):
            AttributionRules.load(path)

    def test_a_missing_file_is_a_wrong_setting(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            AttributionRules.load(tmp_path / "none.yaml")

    def test_the_rules_survive_json(self) -> None:
        rules = SHIPPED.with_accounts({"1": "a"})
        assert AttributionRules.from_json(json.loads(json.dumps(rules.to_json()))) == rules


LETTERS = st.text("aAbB-_ :/.'\"é", max_size=8)
KEYS = st.one_of(
    st.sampled_from(
        ["customer_id", "CustomerId", "user:customer", "user_tenant", "feature", "Project", "project-id"]
    ),
    LETTERS,
)
VALUES = st.one_of(LETTERS, st.sampled_from(["acme", "big-bank", " x "]))
FACTS = st.builds(
    LineFacts,
    tags=st.dictionaries(KEYS.filter(bool), VALUES, max_size=5),
    principal=st.one_of(st.none(), st.sampled_from(["role/customer-a.b", "role/project=x", "x"]), LETTERS),
    resource=st.one_of(st.none(), st.sampled_from(["profile/customer-zz", "q:project-7"]), LETTERS),
    resource_group=st.one_of(
        st.none(), st.sampled_from(["rg-customer-a-b-dev", "rg-customer--dev"]), LETTERS
    ),
    sub_account=st.one_of(st.none(), st.sampled_from(["1", "2"])),
)
RULE = st.one_of(
    st.builds(
        lambda keys: Rule("tags", "tag", keys=tuple(keys)),
        st.lists(KEYS.filter(plain_key), min_size=1, max_size=4),
    ),
    st.just(Rule("principal", "principal", pattern="(?:customer|project)[-=]([a-z.]*)")),
    st.just(Rule("group", "resource_group", pattern="rg-customer-{id}-{env}")),
    st.builds(
        lambda values: Rule("map", "account_map", values=values),
        st.dictionaries(st.sampled_from("12"), VALUES),
    ),
    st.just(Rule("own", "sub_account")),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=FACTS, rules=st.lists(RULE, max_size=4))
def test_the_sql_agrees_with_the_plain_python(
    db: duckdb.DuckDBPyConnection, facts: LineFacts, rules: list[Rule]
) -> None:
    chosen = tuple(rules)
    assert by_sql(db, chosen, facts) == attribute(chosen, facts)
    for field in FIELDS:
        assert by_sql(db, SHIPPED.of(field), facts) == attribute(SHIPPED.of(field), facts)
