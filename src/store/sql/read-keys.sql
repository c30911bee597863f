SELECT
-- @operation-columns
  ,
  o.idempotency_key,
  o.fingerprint
FROM unnest($1::text[], $2::text[], $3::text[]) AS k(principal, command, key)
JOIN sluice.operation o
  ON o.principal = k.principal AND o.command = k.command AND o.idempotency_key = k.key
WHERE o.idempotency_key IS NOT NULL
