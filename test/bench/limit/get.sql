\set n random(1, 10000)
SELECT id, venue_id, room_id, table_id, joined_table_ids, joined_room_ids, date, start_time, starts_at, ends_at, time_zone, party_size, customer_name, customer_phone, status, comment, admin_id, created_at, updated_at, expires_at, version
FROM bookings WHERE id = '019c0000-0000-7000-8000-' || lpad(:n::text, 12, '0');
