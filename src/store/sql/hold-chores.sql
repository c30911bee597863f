-- One row beside the leases of reply partitions, under a name that no topic can have. Free without an owner, in the asker's
-- own hands, expired, or when its owner is dead.
INSERT INTO sluice.lease AS l (topic, partition, owner, fence, until, next_offset)
VALUES ('@chores', 0, $1::text, 1, sluice.sluice_now() + $2::float8 * interval '1 millisecond', 0)
ON CONFLICT (topic, partition) DO UPDATE SET
  owner = excluded.owner,
  until = excluded.until,
  fence = CASE WHEN l.owner = excluded.owner THEN l.fence ELSE l.fence + 1 END
WHERE l.owner IS NULL OR l.owner = excluded.owner OR l.until <= sluice.sluice_now()
  OR EXISTS (SELECT FROM sluice.instance i WHERE i.boot_id = l.owner AND i.until <= sluice.sluice_now())
RETURNING l.owner
