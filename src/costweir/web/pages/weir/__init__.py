"""The pages of the gateway: what is spent now, the calls, the sessions, the budgets, the keys, and why a call was
refused. Every amount is the ledger's or an answer of the catalogue."""
