-- A later attempt is another record: it has no place on the log yet, and somebody has undertaken to publish it.
UPDATE sluice.operation o SET
  attempt = r.attempt,
  deadline = to_timestamp(r.deadline_ms / 1000),
  published_partition = CASE WHEN r.cleared THEN NULL ELSE o.published_partition END,
  published_offset = CASE WHEN r.cleared THEN NULL ELSE o.published_offset END,
  claimed_by = CASE WHEN r.cleared THEN r.claimed_by ELSE o.claimed_by END,
  -- Whoever had undertaken to publish the attempt before may be doing so.
  maybe_sent = o.maybe_sent OR (r.cleared AND o.claimed_by IS NOT NULL)
FROM unnest($1::uuid[], $2::int[], $3::float8[], $4::bool[], $5::text[]) AS r(id, attempt, deadline_ms, cleared, claimed_by)
WHERE o.id = r.id
