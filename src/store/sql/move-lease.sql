-- No row where the lease was taken over or its position is not what the caller believes.
UPDATE sluice.lease SET next_offset = $5::int8
WHERE topic = $1::text AND partition = $2::int AND fence = $3::int8 AND next_offset = $4::int8
RETURNING partition
