SELECT (extract(epoch FROM sluice.sluice_now()) * 1000)::float8 AS now_ms
