"""Where holds and settlements are kept: in memory, or in an SQLite file."""
