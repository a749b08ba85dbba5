\set hour random(0, 9)
SELECT DISTINCT o.table_id
FROM table_occupancies o JOIN bookings b ON b.id = o.booking_id
WHERE o.venue_id = 'list-0' AND o.place_hash BETWEEN hashtext('list-0')::bigint << 32 AND (hashtext('list-0')::bigint << 32) + 4294967295
	AND o.during && tstzrange(:day::timestamptz + :hour::int * interval '2 hours', :day::timestamptz + (:hour::int + 1) * interval '2 hours')
	AND o.table_id IN ('table-0', 'table-1', 'table-2', 'table-3', 'table-4', 'table-5', 'table-6', 'table-7', 'table-8', 'table-9',
		'table-10', 'table-11', 'table-12', 'table-13', 'table-14', 'table-15', 'table-16', 'table-17', 'table-18', 'table-19')
	AND NOT (b.status = 'held' AND b.expires_at <= now());
