WITH cleared AS MATERIALIZED (
  SELECT id FROM sluice.operation WHERE id = ANY ($1::uuid[]) AND owes_dead_letter ORDER BY id FOR NO KEY UPDATE
)
UPDATE sluice.operation o SET owes_dead_letter = false FROM cleared c WHERE o.id = c.id
