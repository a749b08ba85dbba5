\startpipeline
SELECT count(*) FROM bookings WHERE venue_id = 'list-0' AND date = :day::date;
SELECT id, venue_id, room_id, table_id, joined_table_ids, joined_room_ids, date, start_time, starts_at, ends_at, time_zone, party_size, customer_name, customer_phone, status, comment, admin_id, created_at, updated_at, expires_at, version
FROM bookings WHERE venue_id = 'list-0' AND date = :day::date ORDER BY starts_at, id LIMIT 50 OFFSET 0;
\endpipeline
