-- As many as $6 bytes hold, but one at least. Each row says whether the list goes on behind it, which is not to be told from
-- how many there are. What a row takes is 512 bytes and whatever of it may be long.
SELECT
-- @operation-columns
  , o.has_more
FROM (
  SELECT
    p.*,
    row_number() OVER down AS place,
    sum(p.size_bytes) OVER down AS upto_bytes,
    lead(p.id) OVER down IS NOT NULL AS has_more
  FROM (
    SELECT
      o.*,
      512 + coalesce(octet_length(o.result_value), 0) + coalesce(octet_length(o.result_headers), 0)
        + coalesce(octet_length(o.error_message), 0) + coalesce(octet_length(o.error_details), 0)
        + coalesce(octet_length(o.progress_message), 0) AS size_bytes
    FROM sluice.operation o
    WHERE ($1::text IS NULL OR o.principal = $1::text)
      AND ($2::text IS NULL OR o.command = $2::text)
      AND ($3::text IS NULL OR o.state = $3::text)
      AND ($4::uuid IS NULL OR o.id < $4::uuid)
    ORDER BY o.id DESC
    LIMIT $5::int + 1
  ) p
  WINDOW down AS (ORDER BY p.id DESC)
) o
WHERE o.place = 1 OR (o.place <= $5::int AND o.upto_bytes <= $6::int8)
ORDER BY o.id DESC
