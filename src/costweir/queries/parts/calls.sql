-- Whether calls were metered at all, and until when.
SELECT COUNT(*) AS k_calls, MAX(k.started_at) AS k_last FROM calls AS k
