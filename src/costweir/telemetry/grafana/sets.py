"""The stores that boards are drawn for: the SQL of each and how its data source fills in days and picked values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from costweir.queries.panels import Marks

#: Several values as quoted texts, which is what every SQL data source of Grafana expects.
_VALUES = "${{{name}:sqlstring}}"
#: What `All` stands for. It is not quoted again, so the list is one empty text and the filter falls away.
ALL = "''"


@dataclass(frozen=True, slots=True)
class Store:
    """One kind of store: the folder of its boards, the plugin that reads it and the uid of its data source."""

    name: str
    folder: str
    plugin: str
    uid: str
    title: str
    marks: Marks | None


STORES: Mapping[str, Store] = {
    store.name: store
    for store in (
        Store(
            "postgres", "dashboards", "grafana-postgresql-datasource", "costweir-postgres", "PostgreSQL",
            Marks("postgres", "$__timeFilter({column})", _VALUES),
        ),
        Store(
            "clickhouse", "dashboards-clickhouse", "grafana-clickhouse-datasource", "costweir-clickhouse", "ClickHouse",
            Marks("clickhouse", "$__dateFilter({column})", _VALUES),
        ),
        Store(
            "bigquery", "dashboards-bigquery", "grafana-bigquery-datasource", "costweir-bigquery", "BigQuery",
            # its own macros write text beside a DATE, which BigQuery refuses
            Marks(
                "bigquery",
                "{column} BETWEEN DATE(TIMESTAMP('${{__from:date:iso}}')) AND DATE(TIMESTAMP('${{__to:date:iso}}'))",
                _VALUES, schema="${dataset}",
            ),
        ),
        Store(
            "redshift", "dashboards-redshift", "grafana-redshift-datasource", "costweir-redshift", "Redshift",
            Marks("redshift", "$__timeFilter({column})", _VALUES),
        ),
        Store(
            "azuresql", "dashboards-azuresql", "mssql", "costweir-azuresql", "Azure SQL",
            Marks("tsql", "$__timeFilter({column})", _VALUES),
        ),
        Store(
            "api", "dashboards-api", "yesoreyeram-infinity-datasource", "costweir-api", "Costweir's own API", None
        ),
    )
}  # fmt: skip
