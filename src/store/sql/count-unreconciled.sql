SELECT least(count(*), $2::int)::int AS number FROM (
-- @unreconciled-ids
) AS u
