-- What an end leaves to be done: records that are owed, a key that is free again. A cancelled command that nobody can have
-- sent is no worker's concern.
UPDATE sluice.operation o SET
  owes_dead_letter = coalesce(c.owes_dead_letter, false),
  owes_cancellation = coalesce(c.is_cancelled, false) AND (o.maybe_sent OR o.claimed_by IS NOT NULL),
  idempotency_key = CASE WHEN c.frees_key THEN NULL ELSE o.idempotency_key END
FROM unnest($1::uuid[], $2::bool[], $3::bool[], $4::bool[]) AS c(id, owes_dead_letter, is_cancelled, frees_key)
WHERE o.id = c.id
