UPDATE sluice.lease SET next_offset = $4::int8
WHERE topic = $1::text AND partition = $2::int AND fence = $3::int8
RETURNING partition
