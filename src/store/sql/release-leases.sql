-- The fence moves here too: what the giver still has under way may not settle after it. $3 null: all of them.
UPDATE sluice.lease SET owner = NULL, home = false, until = NULL, fence = fence + 1
WHERE topic = $1::text AND owner = $2::text AND ($3::int[] IS NULL OR partition = ANY ($3::int[]))
