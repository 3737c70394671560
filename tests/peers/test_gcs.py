"""Google Cloud Storage by its XML interface, which obstore speaks: moto answers it, since it is that of S3.

gcp-storage-emulator has the JSON interface only and cannot list or head for obstore.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from costweir.sources.discover import discover
from costweir.sources.stage import StageOptions, stage

pytest.importorskip("obstore")

#: Without a type the server would read the body as a form; requests without credentials need a public object.
BYTES = {"Content-Type": "application/octet-stream", "x-amz-acl": "public-read"}
SAMPLE = Path(__file__).parents[2] / "samples" / "gcp" / "standard_2026-10.jsonl"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    account = {
        "gcs_base_url": url,
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account))
    monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "true")
    put(f"{url}/exports", b"")
    yield f"{url}/exports"
    server.stop()


def put(url: str, data: bytes) -> None:
    with urllib.request.urlopen(
        urllib.request.Request(url, data=data, headers=BYTES, method="PUT"), timeout=10
    ) as answer:
        assert answer.status == 200


def test_bills_of_a_bucket_are_found_by_prefix_and_read_to_the_last_digit(
    bucket: str, tmp_path: Path
) -> None:
    data = SAMPLE.read_bytes()
    put(f"{bucket}/billing/2026-10/part-0.jsonl", data)
    put(f"{bucket}/other/readme.txt", b"no bill")
    found = discover(["gs://exports/billing/"], work=tmp_path)
    assert [item.bill.url for item in found.files] == ["gs://exports/billing/2026-10/part-0.jsonl"]
    assert found.files[0].local.read_bytes() == data
    staged = stage(
        ["gs://exports/billing/*/*.jsonl"], into=tmp_path / "staged", options=StageOptions(all_services=True)
    )
    lines = [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in data.decode().splitlines()]
    expected = sum(
        (
            Decimal(str(line["cost"])) + sum(Decimal(str(c["amount"])) for c in line["credits"])
            for line in lines
        ),
        Decimal(0),
    )
    assert sum(slot.load.billed_total for slot in staged.slots) == expected
