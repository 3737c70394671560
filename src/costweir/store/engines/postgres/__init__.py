"""Facts in PostgreSQL, for installations with more than one process or machine.

`warehouse` implements the port, `connections` opens and shares connections, `bulk` brings Parquet in, and `months`
keeps the partitions of the two long tables, or hands them to TimescaleDB where that is installed.
"""

from costweir.store.engines.postgres.warehouse import PostgresWarehouse

__all__ = ["PostgresWarehouse"]
