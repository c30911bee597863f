UPDATE sluice.operation_event e SET owed = false
FROM unnest($1::uuid[], $2::int[]) AS c(operation_id, number)
WHERE e.operation_id = c.operation_id AND e.number = c.number AND e.owed
