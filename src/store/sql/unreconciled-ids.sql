  (
    SELECT o.id FROM sluice.operation o
    WHERE o.retained_until IS NULL AND o.deadline <= (SELECT sluice.sluice_now()) AND ($1::uuid IS NULL OR o.id < $1::uuid)
    ORDER BY o.id DESC LIMIT $2::int
  ) UNION ALL (
    SELECT o.id FROM sluice.operation o
    WHERE o.delivery = 'unknown' AND o.state = 'expired' AND ($1::uuid IS NULL OR o.id < $1::uuid)
    ORDER BY o.id DESC LIMIT $2::int
  )
