-- Who finds it locked looks again at its next beat: to wait would be to miss beats. FOR UPDATE, so that a promotion that
-- holds the row FOR KEY SHARE ends before the fence moves. A lease is free without an owner, in the claimer's own hands,
-- when its owner is dead, or when it has expired and is not the home of a live one.
SELECT l.partition
FROM sluice.lease l
WHERE l.topic = $1::text AND l.partition = $2::int AND (
  l.owner IS NULL
  OR l.owner = $3::text
  OR EXISTS (SELECT FROM sluice.instance i WHERE i.boot_id = l.owner AND i.until <= sluice.sluice_now())
  OR (l.until <= sluice.sluice_now() AND NOT (
    l.home AND EXISTS (SELECT FROM sluice.instance i WHERE i.boot_id = l.owner AND i.until > sluice.sluice_now())
  ))
)
FOR UPDATE SKIP LOCKED
