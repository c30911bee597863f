WITH given AS MATERIALIZED (
  SELECT o.id, g.maybe_sent
  FROM unnest($2::uuid[], $3::bool[]) AS g(id, maybe_sent)
  JOIN sluice.operation o ON o.id = g.id
  WHERE o.claimed_by = $1::text AND o.published_offset IS NULL AND o.retained_until IS NULL
  ORDER BY o.id
  FOR NO KEY UPDATE OF o
)
UPDATE sluice.operation o SET claimed_by = NULL, maybe_sent = o.maybe_sent OR g.maybe_sent
FROM given g
WHERE o.id = g.id
