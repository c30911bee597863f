SELECT pg_notify('sluice_changed', n.payload) FROM unnest($1::text[]) AS n(payload)
