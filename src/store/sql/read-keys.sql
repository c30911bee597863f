SELECT
-- @operation-columns
  ,
  o.idempotency_key,
  o.fingerprint,
  (extract(epoch FROM o.wait_until) * 1000)::float8 AS wait_until_ms
FROM unnest($1::text[], $2::text[], $3::text[]) AS k(principal, command, key)
JOIN sluice.operation o
  ON o.principal = k.principal AND o.command = k.command AND o.idempotency_key = k.key
WHERE o.idempotency_key IS NOT NULL
