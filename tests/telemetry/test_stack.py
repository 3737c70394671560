"""The files of the stack by what they must and must not say. What the servers' own tools say is in tests/peers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import promql_parser
import pytest
import yaml

from costweir import config
from costweir.telemetry import render
from costweir.telemetry.metrics import families
from costweir.telemetry.stack import compose
from costweir.telemetry.stack.places import PORTS
from costweir.telemetry.stack.rules import groups

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[2]
#: Metrics of the servers around us that rules use, and who has them.
OTHERS = {
    "up": "prometheus",
    "probe_success": "blackbox_exporter",
    "prometheus_target_scrapes_exceeded_sample_limit_total": "prometheus",
    "prometheus_rule_evaluation_failures_total": "prometheus",
    "alertmanager_notifications_failed_total": "alertmanager",
    "loki_discarded_samples_total": "loki",
    "node_memory_MemAvailable_bytes": "node_exporter",
    "node_memory_MemTotal_bytes": "node_exporter",
    "node_filesystem_avail_bytes": "node_exporter",
    "node_filesystem_size_bytes": "node_exporter",
    "node_filesystem_readonly": "node_exporter",
    "container_memory_working_set_bytes": "cadvisor",
    "container_spec_memory_limit_bytes": "cadvisor",
    "pg_stat_activity_count": "postgres_exporter",
    "pg_settings_max_connections": "postgres_exporter",
    "ClickHouseAsyncMetrics_DiskUsed_default": "clickhouse",
    "ClickHouseAsyncMetrics_DiskTotal_default": "clickhouse",
    "redis_memory_used_bytes": "redis_exporter",
    "redis_memory_max_bytes": "redis_exporter",
    "redis_evicted_keys_total": "redis_exporter",
}
#: Keys that stop today's servers or that they have given up, from seed files that had them.
GONE = (
    "boltdb", "shared_store", "max_look_back_period", "enforce_metric_name", "table_manager", "chunk_store_config",
    "match:", "match_re:", "source_match:", "target_match:", "service_key:", "holt_winters", "ingester:", "version:",
    "container_name:", "links:",
)  # fmt: skip


def settings(home: Path, **environ: str) -> config.Settings:
    return config.load(environ={"HOME": str(home), **environ})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return render.rendered(settings(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def whole(made: Mapping[str, str]) -> dict[str, Any]:
    return yaml.safe_load(made["compose/compose.yaml"])


@pytest.fixture(scope="module")
def services(whole: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return whole["services"]


def walk(node: Any) -> Iterator[Any]:
    """Every part of a parsed expression."""
    yield node
    for name in ("expr", "lhs", "rhs", "args", "param", "vector_selector"):
        inner = getattr(node, name, None)
        for part in inner if isinstance(inner, list) else [inner]:
            if part is not None and type(part).__module__ == type(node).__module__:
                yield from walk(part)


def metrics_of(expression: str) -> set[str]:
    parsed = promql_parser.parse(expression)
    return {
        part.name for part in walk(parsed) if isinstance(part, promql_parser.VectorSelector) and part.name
    }


def test_every_yaml_file_can_be_read(made: Mapping[str, str]) -> None:
    for path, text in made.items():
        if path.endswith((".yml", ".yaml")) and not path.startswith("grafana/"):
            assert yaml.safe_load(text), path


def test_nothing_that_servers_gave_up(made: Mapping[str, str]) -> None:
    kept = {
        path: text
        for path, text in made.items()
        if path.endswith((".yml", ".yaml")) and "grafana" not in path
    }
    lines = [
        (path, line)
        for path, text in kept.items()
        for line in text.splitlines()
        if not line.lstrip().startswith("#")
    ]

    assert [(path, line) for path, line in lines if line.lstrip(" -").startswith(GONE)] == []


@pytest.mark.parametrize("profile", ["", "lite", "standard", "full"])
def test_compose_keeps_the_compose_specification(tmp_path: Path, profile: str) -> None:
    """The schema is the one of github.com/compose-spec/compose-spec, Apache License 2.0."""
    schema = json.loads((DATA / "compose-spec.json").read_text())
    text = render.rendered(settings(tmp_path), profile)["compose/compose.yaml"]

    assert [
        error.message for error in jsonschema_rs.validator_for(schema).iter_errors(yaml.safe_load(text))
    ] == []


def test_every_service_keeps_the_house_rules(services: dict[str, dict[str, Any]]) -> None:
    for name, row in services.items():
        assert row["read_only"] is True, name
        assert row["cap_drop"] == ["ALL"], name
        assert row["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(row), name
        assert row.get("network_mode") in (None, "none", "service:costweir"), name
        assert set(row["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert row["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
        assert re.fullmatch(r"\d+:\d+", row["user"]), name
        assert row["restart"] in ("unless-stopped", "no"), name


def test_root_is_only_who_reads_the_kernel_or_the_socket(services: dict[str, dict[str, Any]]) -> None:
    roots = {name for name, row in services.items() if row["user"].startswith("0:")}

    assert roots == {"socket-proxy", "cadvisor"}


def test_the_docker_socket_has_one_reader_that_forwards_no_change(
    services: dict[str, dict[str, Any]],
) -> None:
    holders = [
        name for name, row in services.items() if any("docker.sock" in one for one in row.get("volumes", []))
    ]

    assert holders == ["socket-proxy"]
    proxy = services["socket-proxy"]
    assert proxy["volumes"] == ["/var/run/docker.sock:/var/run/docker.sock:ro"]
    assert proxy["environment"]["POST"] == "0"
    assert {*proxy["environment"]} <= {
        "CONTAINERS",
        "NETWORKS",
        "EVENTS",
        "INFO",
        "PING",
        "VERSION",
        "POST",
        "LOG_LEVEL",
    }
    assert "ports" not in proxy
    assert [*proxy["networks"]] == ["socket"]


def test_what_of_the_host_is_mounted_is_read_only(services: dict[str, dict[str, Any]]) -> None:
    mounts = [(name, one) for name, row in services.items() for one in row.get("volumes", [])]
    of_host = [(name, one) for name, one in mounts if one.startswith(("/", "."))]

    assert [(name, one) for name, one in of_host if not one.split(":")[2].startswith("ro")] == []


def test_ports_are_published_on_this_machine_and_once(services: dict[str, dict[str, Any]]) -> None:
    ports = {name: row["ports"] for name, row in services.items() if "ports" in row}
    flat = [one for rows in ports.values() for one in rows]

    assert all(one.startswith("127.0.0.1:") for one in flat)
    for profile in compose.PROFILES:
        outside = [
            one for name, rows in ports.items() if profile in services[name]["profiles"] for one in rows
        ]
        assert len(outside) == len({one.split(":")[1] for one in outside})
    names = ("web", "gateway", "mcp", "otlp", "prometheus", "alertmanager", "grafana", "langfuse")
    assert {one.split(":")[1] for one in flat} == {str(PORTS[name]) for name in names}
    assert {*ports} <= {"costweir", "costweir-lite", "prometheus", "alertmanager", "grafana", "langfuse-web"}


def test_the_port_map_names_each_port_once() -> None:
    assert len(set(PORTS.values())) == len(PORTS)


def test_images_are_pinned_and_told_where_from(services: dict[str, dict[str, Any]]) -> None:
    for name, row in compose.images().items():
        assert row["seen"], name
        assert re.search(r"\d", row["tag"]) or row["tag"] == "VERSION", name
        assert row["tag"] not in ("latest", "main"), name
    assert all(":" in row["image"].rpartition("/")[2] for row in services.values())


def test_services_wait_for_what_they_need_to_be_healthy(services: dict[str, dict[str, Any]]) -> None:
    for name, row in services.items():
        for other, how in row.get("depends_on", {}).items():
            assert set(row["profiles"]) <= set(services[other]["profiles"]), (name, other)
            if how["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"], (name, other)
            else:
                assert services[other]["restart"] == "no", (name, other)
    unwatched = {
        name for name, row in services.items() if "test" not in row["healthcheck"] and row["restart"] != "no"
    }
    assert unwatched == {"backup", "backup-postgres", "tempo"}
    # One check for our image and our service, so that a container says the same with and without compose.
    checks = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if "u.urlopen" in line]
    assert (
        json.loads(checks[0].strip().removeprefix("CMD ")) == services["costweir"]["healthcheck"]["test"][1:]
    )


def test_secrets_are_files_that_the_script_makes(
    tmp_path: Path, made: Mapping[str, str], whole: dict[str, Any]
) -> None:
    script = tmp_path / "secrets.sh"
    script.write_text(made["compose/secrets.sh"])

    first = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True)
    held = {path.name: path.read_bytes() for path in (tmp_path / "secrets").iterdir()}
    again = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True)

    assert again.stderr == again.stdout == first.stdout == ""
    assert {path.name: path.read_bytes() for path in (tmp_path / "secrets").iterdir()} == held
    assert {row["file"].removeprefix("./secrets/") for row in whole["secrets"].values()} <= {*held}
    files = [
        one.removeprefix("./secrets/")
        for row in whole["services"].values()
        for one in row.get("env_file", [])
    ]
    assert {*files} <= {*held}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert all(
        (tmp_path / "secrets" / name).stat().st_mode & 0o777 == 0o600
        for name in held
        if name.endswith(".env")
    )
    generated = [text for name, text in held.items() if len(text) == 64]
    assert len(generated) >= 10
    assert len({*generated}) == len(generated)
    assert not any(text.decode() in first.stderr for text in generated)


def test_a_secret_that_is_there_is_never_replaced(tmp_path: Path, made: Mapping[str, str]) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/postgres_password").write_text("mine")
    (tmp_path / "secrets.sh").write_text(made["compose/secrets.sh"])

    subprocess.run(["sh", str(tmp_path / "secrets.sh")], capture_output=True, check=True)

    assert (tmp_path / "secrets/postgres_password").read_text() == "mine"


def test_every_secret_is_declared_and_used(whole: dict[str, Any]) -> None:
    used = {name for row in whole["services"].values() for name in row.get("secrets", [])}
    assert used == {*whole["secrets"]}
    for name, row in whole["services"].items():
        text = json.dumps(row)
        for secret in re.findall(r"/run/secrets/([\w.]+)", text):
            assert secret in row["secrets"], (name, secret)


def test_grafana_lets_nobody_in_without_a_login(tmp_path: Path) -> None:
    """Not even where a setting says so."""
    made = render.rendered(settings(tmp_path, GF_AUTH_ANONYMOUS_ENABLED="true"))
    environment = yaml.safe_load(made["compose/compose.yaml"])["services"]["grafana"]["environment"]

    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in environment
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_admin_password"


def test_the_plan_of_resources_holds() -> None:
    """DEP-24 to DEP-26: what the plan names takes at most five gigabytes; lite runs in one."""
    rows = compose.services("full")
    planned = (
        "costweir", "langfuse-web", "langfuse-worker", "postgres", "clickhouse", "redis", "prometheus", "loki",
        "alloy", "grafana",
    )  # fmt: skip
    assert sum(compose.memory_of(rows[name]) for name in planned) <= 5 * 1024
    assert sum(compose.memory_of(row) for row in compose.services("lite").values()) <= 1024
    most = {
        "clickhouse": 1024,
        "prometheus": 1024,
        "loki": 1024,
        "grafana": 512,
        "postgres": 512,
        "redis": 256,
    }
    assert all(compose.memory_of(rows[name]) <= limit for name, limit in most.items())


@pytest.mark.parametrize("profile", compose.PROFILES)
def test_a_profile_has_its_services_and_scrapes_no_others(tmp_path: Path, profile: str) -> None:
    made = render.rendered(settings(tmp_path), profile)
    services = yaml.safe_load(made["compose/compose.yaml"])["services"]
    jobs = yaml.safe_load(made["prometheus/prometheus.yml"])["scrape_configs"]
    hosts = [
        one.rpartition(":")[0]
        for job in jobs
        for block in job.get("static_configs", [])
        for one in block["targets"]
    ]
    found = [name for job in jobs for block in job.get("dns_sd_configs", []) for name in block["names"]]

    assert all(profile in row["profiles"] for row in services.values())
    known = {*services, "localhost", *(["costweir"] if profile == "lite" else [])}
    assert {*hosts, *found} <= known


def test_a_fixed_target_runs_wherever_prometheus_does(
    made: Mapping[str, str], services: dict[str, dict[str, Any]]
) -> None:
    """A target that a profile does not start would be missed for ever."""
    jobs = yaml.safe_load(made["prometheus/prometheus.yml"])["scrape_configs"]
    for job in jobs:
        for block in job.get("static_configs", []):
            host = block["targets"][0].rpartition(":")[0]
            if host != "localhost":
                assert set(services[host]["profiles"]) >= set(services["prometheus"]["profiles"]), host


def test_what_is_scraped_is_limited_and_ours_is_asked_with_a_token(made: Mapping[str, str]) -> None:
    whole = yaml.safe_load(made["prometheus/prometheus.yml"])
    for job in whole["scrape_configs"]:
        assert job["sample_limit"] <= 20_000, job["job_name"]
        assert job["label_limit"] <= 40, job["job_name"]
    ours = next(job for job in whole["scrape_configs"] if job["job_name"] == "costweir")
    assert ours["authorization"] == {"credentials_file": "/run/tokens/metrics"}
    assert ours["static_configs"][0]["labels"] == {"service": "costweir", "environment": "local"}
    assert whole["global"]["scrape_interval"] == whole["global"]["evaluation_interval"] == "15s"
    assert whole["storage"]["tsdb"]["retention"] == {"time": "15d", "size": "8GB"}
    assert whole["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]


def test_settings_reach_the_files(tmp_path: Path) -> None:
    made = render.rendered(settings(
        tmp_path, PROMETHEUS_RETENTION="90d", PROMETHEUS_PORT="9999", ENVIRONMENT="production",
        GF_SERVER_ROOT_URL="https://grafana.example.com/", COSTWEIR_WEB__PORT="9000",
    ))  # fmt: skip
    services = yaml.safe_load(made["compose/compose.yaml"])["services"]
    whole = yaml.safe_load(made["prometheus/prometheus.yml"])

    assert whole["storage"]["tsdb"]["retention"]["time"] == "90d"
    assert whole["global"]["external_labels"] == {"environment": "production"}
    assert services["prometheus"]["ports"] == ["127.0.0.1:9999:9090"]
    assert services["costweir"]["ports"][0] == "127.0.0.1:9000:8080"
    assert services["grafana"]["environment"]["GF_SERVER_ROOT_URL"] == "https://grafana.example.com/"
    assert "https://grafana.example.com/d/costweir-" in made["prometheus/rules/gateway.yml"]


RULES = [(row, one) for row in groups() for one in (*row.get("records", ()), *row.get("alerts", ()))]
ALERTS = [one for row in groups() for one in row.get("alerts", ())]


@pytest.mark.parametrize(("row", "one"), RULES, ids=[one.get("record") or one["alert"] for _, one in RULES])
def test_a_rule_uses_metrics_that_exist(row: Mapping[str, Any], one: Mapping[str, Any]) -> None:
    recorded = {other["record"] for group in groups() for other in group.get("records", ())}
    histograms = {f"{name}_{part}" for name, family in families().items() if family.type == "histogram"
                  for part in ("bucket", "sum", "count")}  # fmt: skip

    assert metrics_of(one["expr"]) <= {*families(), *histograms, *OTHERS, *recorded}


def test_no_metric_of_others_is_listed_in_vain() -> None:
    used = {name for _, one in RULES for name in metrics_of(one["expr"])}
    assert used >= {*OTHERS}


@pytest.mark.parametrize("one", ALERTS, ids=[one["alert"] for one in ALERTS])
def test_an_alert_says_what_people_need(one: Mapping[str, Any], made: Mapping[str, str]) -> None:
    text = next(
        made[f"prometheus/rules/{row['name']}.yml"] for row in groups() if one in row.get("alerts", ())
    )
    rule = next(
        rule for rule in yaml.safe_load(text)["groups"][0]["rules"] if rule.get("alert") == one["alert"]
    )

    assert set(rule["labels"]) == {"severity", "team", "plane", "budget_scope"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["labels"]["plane"] in ("budget", "billing", "request", "platform")
    assert {"summary", "description", "runbook_url", "dashboard", "link"} == set(rule["annotations"])
    assert all(rule["annotations"].values())
    assert f"## {one['alert']}\n" in (ROOT / "docs/runbook.md").read_text()
    board = f"grafana/dashboards/{one['board'].removeprefix('costweir-')}.json"
    assert json.loads(made[board])["uid"] == one["board"]
    assert one["fires"]
    assert one["quiet"] or one["alert"] == "Heartbeat"


def test_an_amount_of_a_budget_never_stands_in_a_rule() -> None:
    """Floors and factors do; a limit is a row, and comes from a gauge."""
    for one in ALERTS:
        if one["plane"] == "budget" and one["alert"].startswith("BudgetBurn"):
            assert "costweir:budget_pace_usd_per_hour" in one["expr"]


def test_the_rules_cover_what_was_asked_of_prometheus() -> None:
    wanted = {f"ALR-{number:02d}" for number in (1, 5, 7, 8, 9, 13, 14, 15, 17, 18, 19)}
    assert wanted <= {name for one in ALERTS for name in one.get("covers", ())}


def test_what_has_two_severities_shares_the_label_that_mutes_it(made: Mapping[str, str]) -> None:
    rules = yaml.safe_load(made["alertmanager/alertmanager.yml"])["inhibit_rules"]
    names = {one["alert"] for one in ALERTS}
    for rule in rules:
        for line in (*rule["source_matchers"], *rule["target_matchers"]):
            found = re.fullmatch(r'alertname=~?"([\w|]+)"', line)
            assert not found or {*found[1].split("|")} <= names


def test_alertmanager_has_its_secrets_in_files_and_its_routes_lead_somewhere(made: Mapping[str, str]) -> None:
    whole = yaml.safe_load(made["alertmanager/alertmanager.yml"])
    names = {row["name"] for row in whole["receivers"]}
    routes = [whole["route"], *whole["route"]["routes"]]

    assert {row["receiver"] for row in routes} <= names
    assert {name for row in routes for name in row.get("mute_time_intervals", [])} == {
        row["name"] for row in whole["time_intervals"]
    }
    text = made["alertmanager/alertmanager.yml"]
    assert not re.search(r"^\s*-?\s*(api_url|routing_key|url|smtp_auth_password):", text, re.MULTILINE)
    assert text.count("_file: /run/secrets/") >= 6


def test_where_costweir_tells_by_itself_alertmanager_does_not_tell_again(tmp_path: Path) -> None:
    channels = '[{"id": "chat", "kind": "slack", "url_env": "HOOK"}]'
    made = render.rendered(settings(tmp_path, COSTWEIR_CHANNELS=channels, HOOK="https://chat.example.com/x"))
    whole = yaml.safe_load(made["alertmanager/alertmanager.yml"])

    assert {"matchers": ['plane=~"budget|billing"'], "receiver": "nobody"} in whole["route"]["routes"]
    assert next(row for row in whole["receivers"] if row["name"] == "pager") == {"name": "pager"}


def test_loki_deletes_what_is_old_and_keeps_what_audits_need(made: Mapping[str, str]) -> None:
    whole = yaml.safe_load(made["loki/loki.yaml"])
    assert whole["compactor"]["retention_enabled"] is True
    assert whole["compactor"]["delete_request_store"] == "filesystem"
    assert [(row["store"], row["schema"]) for row in whole["schema_config"]["configs"]] == [("tsdb", "v13")]
    limits = whole["limits_config"]
    assert limits["retention_period"] == "720h"
    assert {row["selector"]: row["period"] for row in limits["retention_stream"]} == {
        '{level="debug"}': "168h", '{service="costweir-audit"}': "2160h",
    }  # fmt: skip
    assert limits["reject_old_samples_max_age"] == "168h"
    assert limits["max_query_series"] == 10_000
    assert limits["max_query_parallelism"] == 32


def test_log_labels_are_three_and_the_rest_is_metadata(made: Mapping[str, str]) -> None:
    text = made["alloy/config.alloy"]
    assert set(re.findall(r'target_label\s*=\s*"(\w+)"', text)) == {"service"}
    assert re.findall(r"stage\.labels \{\s*values = \{ (.*?) \}", text) == ['level = ""']
    assert "unix:///var/run/docker.sock" not in text
    assert text.count("{") == text.count("}") + text.count('|~ "') * 0
    assert not [line for line in text.splitlines() if line.lstrip().startswith("#")]


def test_tempo_is_one_process_without_a_queue(made: Mapping[str, str]) -> None:
    whole = yaml.safe_load(made["tempo/tempo.yaml"])
    assert whole["target"] == "all"
    assert not {"ingester", "compactor", "ingester_client", "metrics_generator_client", "ingest"} & set(whole)


def test_scripts_are_plain_shell(made: Mapping[str, str], tmp_path: Path) -> None:
    for path, text in made.items():
        if path.endswith(".sh"):
            (tmp_path / "x.sh").write_text(text)
            subprocess.run(["sh", "-n", str(tmp_path / "x.sh")], check=True)
            assert text.startswith("#!/bin/sh\n"), path
            assert "\nset -eu" in text, path


def test_the_dockerfile_is_clean() -> None:
    tool = shutil.which("hadolint", path=f"{ROOT}/.venv/bin") or shutil.which("hadolint")
    assert tool, "hadolint comes with the developers' environment"
    done = subprocess.run([tool, str(ROOT / "Dockerfile")], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_built_from_what_it_needs_only() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert allowed == {"src", "pyproject.toml", "uv.lock", "hatch_build.py", "README.md", "LICENSE", "NOTICE"}
