INSERT INTO sluice.lease (topic, partition, next_offset)
SELECT $1::text, s.partition, s.start
FROM unnest($2::int[], $3::int8[]) AS s(partition, start)
ORDER BY s.partition
ON CONFLICT DO NOTHING
