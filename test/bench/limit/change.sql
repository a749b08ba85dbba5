WITH c AS MATERIALIZED (
	SELECT id, version + 1 AS version FROM bookings
	WHERE id = '019a0000-0000-7000-8000-' || lpad(to_hex(:slot::bigint), 12, '0') FOR UPDATE
), b AS (
	UPDATE bookings SET status = 'STATUS', updated_at = now(), expires_at = NULL, version = c.version
	FROM c WHERE bookings.id = c.id
), freed AS (
	DELETE FROM table_occupancies o USING c WHERE o.booking_id = c.id AND 'STATUS' = 'finished'
), e AS (
	INSERT INTO booking_events (id, booking_id, version, type, payload_json)
	SELECT substr(id, 1, 9) || lpad(version::text, 4, '0') || substr(id, 14), id, version, 'booking.STATUS',
		'{"headers": {"source": "booking-svc", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "timestamp": "1790000000"}, "booking_id": "019a0000-0000-7000-8000-000000000000", "venue_id": "bench-12", "table": {"room_id": "main", "venue_id": "bench-12", "table_id": "table-7"}, "slot": {"date": "2026-12-24", "start_time": "19:00", "duration_minutes": 120}, "party_size": 2, "customer_name": "Ada Lovelace", "customer_phone": "+49 30 1234567", "STATUS": {"admin_id": "admin-1"}}'::jsonb
	FROM c
)
INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, traceparent)
SELECT :slot % 64, 'booking.STATUS', id, convert_to('{"headers": {"source": "booking-svc", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "timestamp": "1790000000"}, "booking_id": "019a0000-0000-7000-8000-000000000000", "venue_id": "bench-12", "table": {"room_id": "main", "venue_id": "bench-12", "table_id": "table-7"}, "slot": {"date": "2026-12-24", "start_time": "19:00", "duration_minutes": 120}, "party_size": 2, "customer_name": "Ada Lovelace", "customer_phone": "+49 30 1234567", "STATUS": {"admin_id": "admin-1"}}', 'UTF8'),
	substr(id, 1, 9) || lpad(version::text, 4, '0') || substr(id, 14), version, ''
FROM c;
