UPDATE sluice.lease SET
  owner = $3::text, home = $4::bool, fence = fence + 1, until = sluice.sluice_now() + $5::float8 * interval '1 millisecond'
WHERE topic = $1::text AND partition = $2::int
RETURNING partition, owner, home, fence, next_offset, false AS expired
