"""TensorZero's wheel has no server program; its native module starts the same Rust gateway inside this process.

It chooses its own port and tells it in FOLDER/tensorzero.port.
"""

import asyncio
import sys
from pathlib import Path

from tensorzero.tensorzero import _start_http_gateway


async def main(folder: Path) -> None:
    gateway = await _start_http_gateway(
        config_file=str(folder / "tensorzero.toml"),
        clickhouse_url=None,
        postgres_url=None,
        valkey_url=None,
        async_setup=True,
    )
    (folder / "tensorzero.port").write_text(gateway.base_url)
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
