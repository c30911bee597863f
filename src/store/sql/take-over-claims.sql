-- Ordered ones are left to whoever publishes them one after the other.
UPDATE sluice.operation o SET
  claimed_by = CASE WHEN o.ordered THEN NULL ELSE $1::text END,
  maybe_sent = o.maybe_sent OR o.claimed_by IS NOT NULL
WHERE o.id = ANY ($2::uuid[]) AND o.published_offset IS NULL AND o.retained_until IS NULL
