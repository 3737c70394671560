"""The warehouse: facts are replaced or appended, and questions are scanned. A ledger it is not."""
