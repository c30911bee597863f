UPDATE sluice.lease l SET next_offset = p.next_offset
FROM unnest($3::int[], $4::int8[], $5::int8[], $6::int8[]) AS p(partition, fence, expected_offset, next_offset)
WHERE l.topic = $1::text AND l.owner = $2::text
  AND l.partition = p.partition AND l.fence = p.fence AND l.next_offset = p.expected_offset
RETURNING l.partition
