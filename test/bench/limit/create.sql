-- A booking as the service writes it, in one statement: what PostgreSQL alone does for the same rows.
-- Sittings are given out in turn, as the load does it: no two clients want the same one.
\set slot :base + :n * :clients + :client_id
\set n :n + 1
\set table :slot % 240
\set venue :table / 12
\set at :slot / 240
WITH p AS (
	SELECT id, venue_id, table_id, starts_at, starts_at + interval '2 hours' AS ends_at, json FROM (
		SELECT '019a0000-0000-7000-8000-' || lpad(to_hex(:slot::bigint), 12, '0') AS id,
			'bench-' || :venue::int AS venue_id, 'table-' || :table::int % 12 AS table_id,
			:day::timestamptz + :at::int * interval '2 hours' AS starts_at,
			'{"headers": {"source": "booking-svc", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "timestamp": "1790000000"}, "booking_id": "019a0000-0000-7000-8000-000000000000", "venue_id": "bench-12", "table": {"room_id": "main", "venue_id": "bench-12", "table_id": "table-7"}, "slot": {"date": "2026-12-24", "start_time": "19:00", "duration_minutes": 120}, "party_size": 2, "customer_name": "Ada Lovelace", "customer_phone": "+49 30 1234567", "held": {"expires_at": "0"}}'::jsonb AS json
	) s
), taken AS (
	INSERT INTO table_occupancies (booking_id, venue_id, table_id, during)
	SELECT id, venue_id, table_id, tstzrange(starts_at, ends_at) FROM p
	ON CONFLICT ON CONSTRAINT table_occupancies_no_overlap DO NOTHING
	RETURNING booking_id
), b AS (
	INSERT INTO bookings (id, venue_id, room_id, table_id, date, start_time, end_time, starts_at, ends_at, time_zone,
		party_size, customer_name, customer_phone, status, comment, admin_id, created_at, updated_at, expires_at, version)
	SELECT id, venue_id, 'main', table_id, starts_at::date, starts_at::time, ends_at::time, starts_at, ends_at, 'Asia/Tokyo',
		2, 'Ada Lovelace', '+49 30 1234567', 'held', 'by the window', 'admin-1', now(), now(), now() + interval '15 minutes', 1
	FROM p JOIN taken ON booking_id = id
	RETURNING id, created_at, expires_at
), j AS (
	SELECT id, '019b0000-0000-7000-8000-' || substr(id, 25) AS event_id,
		jsonb_set(json, '{held,expires_at}', to_jsonb(floor(extract(epoch FROM b.expires_at))::bigint::text)) AS json
	FROM p JOIN b USING (id)
), e AS (
	INSERT INTO booking_events (id, booking_id, version, type, payload_json)
	SELECT event_id, id, 1, 'booking.held', json FROM j
), o AS (
	INSERT INTO outbox (shard, topic, key, payload, event_id, booking_version, traceparent)
	SELECT :slot % 64, 'booking.held', id, convert_to(json::text, 'UTF8'), event_id, 1, '' FROM j
)
SELECT created_at, expires_at FROM b;
