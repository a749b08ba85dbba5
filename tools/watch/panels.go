package main

import "strings"

// Units are named as Grafana names them.
const (
	perSecond  = "reqps"
	seconds    = "s"
	percentage = "percentunit"
	count      = "short"
	size       = "bytes"
	bandwidth  = "Bps"
)

// failed are the answers that are a fault of the service or of a neighbour, as in the alert rules.
const failed = `unavailable|internal|unknown|deadline_exceeded|data_loss`

// gaveUp is the rate of clients that gave up after more than a second, by labels: a failure as well. Prometheus 2
// keeps the bound as it is told, 3 as 1.0.
func gaveUp(by string) string {
	return `(sum ` + by + `(rate(grpc_server_request_duration_seconds_count{…, method!="Check", status="cancelled"}[]))` +
		` - sum ` + by + `(rate(grpc_server_request_duration_seconds_bucket{…, method!="Check", status="cancelled", le=~"1|1[.]0"}[])) or vector(0))`
}

// of writes a query: NAME{…} becomes the metric of the chosen replicas, and [] the interval of a rate.
func of(expr, legend string) query {
	expr = strings.ReplaceAll(expr, "{…", `{job="booking-svc", instance=~"$instance"`)
	return query{strings.ReplaceAll(expr, "[]", "[$__rate_interval]"), legend}
}

func graph(title, unit, about string, queries ...query) panel {
	return panel{title: title, unit: unit, about: about, queries: queries}
}

func stat(title, unit, about, expr string) panel {
	return panel{title: title, unit: unit, about: about, stat: true, queries: []query{of(expr, "")}}
}

// quantile is a quantile of a histogram, over the labels of by.
func quantile(q, histogram, by, legend string) query {
	le := "le"
	if by != "" {
		le += ", " + by
	}
	return of("histogram_quantile("+q+", sum by ("+le+") (rate("+histogram+"_bucket{…}[])))", legend)
}

func rows() []row {
	return []row{
		{"At a glance", glance()}, {"Calls", calls()}, {"Bookings", bookings()}, {"Events and their outbox", outbox()},
		{"PostgreSQL", postgres()}, {"Redis", redis()}, {"Kafka client", kafka()}, {"Process", process()},
	}
}

func glance() []panel {
	return []panel{
		stat("Alerts", count, "How many alerts of booking-svc fire.", `count(ALERTS{alertstate="firing", alertname=~"Booking.*"}) or vector(0)`),
		stat("Replicas", count, "Replicas that Prometheus reaches.", `sum(up{…})`),
		stat("Calls", perSecond, "Health checks are not counted.", `sum(rate(grpc_server_requests_total{…, method!="Check"}[]))`),
		stat("Failing", percentage, "Calls that fail through a fault of the service or a neighbour. The goal is 0.1 %.",
			`((sum(rate(grpc_server_requests_total{…, method!="Check", status=~"`+failed+`"}[])) or vector(0)) + `+gaveUp("")+`) / sum(rate(grpc_server_requests_total{…, method!="Check"}[]))`),
		stat("p99", seconds, "99 of 100 calls take less time. The goal is 0.3 s.",
			`histogram_quantile(0.99, sum by (le) (rate(grpc_server_request_duration_seconds_bucket{…, method!="Check"}[])))`),
		stat("Oldest event", seconds, "How long the oldest event waits for Kafka.", `max(outbox_oldest_pending_age_seconds{…})`),
		stat("Given up", count, "Events that Kafka refused and that wait for an operator.", `max(outbox_dlq{…})`),
		stat("Neighbours away", count, "Of PostgreSQL, its schema, Redis, Kafka and the venue service, as the replicas see them.",
			`count(min by (dependency) (booking_dependency_up{…}) == 0) or vector(0)`),
	}
}

func calls() []panel {
	return []panel{
		graph("Calls by method", perSecond, "", of(`sum by (method) (rate(grpc_server_requests_total{…}[]))`, "{{method}}")),
		graph("Failures by method", perSecond, "Faults of the service or a neighbour. The log has a WARN or ERROR for each.",
			of(`sum by (method, status) (rate(grpc_server_requests_total{…, status=~"`+failed+`"}[]))`, "{{method}} {{status}}"),
			of(gaveUp("by (method) "), "{{method}} client gave up")),
		graph("Refusals", perSecond, "Answers that the client can see the reason of: a table that is taken, a hold that ran out.",
			of(`sum by (method, status) (rate(grpc_server_requests_total{…, status!="ok", status!~"`+failed+`"}[]))`, "{{method}} {{status}}")),
		graph("p99 by method", seconds, "", quantile("0.99", "grpc_server_request_duration_seconds", "method", "{{method}}")),
		graph("p50 by method", seconds, "", quantile("0.5", "grpc_server_request_duration_seconds", "method", "{{method}}")),
		graph("Burn rate of an hour", count, "1 uses up exactly what the goal of 30 days allows; at 14.4 someone is woken.",
			of(`booking:errors:ratio_rate1h / 0.001`, "failures"), of(`booking:slow:ratio_rate1h / 0.01`, "slow calls")),
	}
}

func bookings() []panel {
	return []panel{
		graph("State changes", perSecond, "By the state that bookings came to.", of(`sum by (status) (rate(booking_changes_total{…}[]))`, "{{status}}")),
		graph("Conflicts", perSecond, "Creates that lost their table to another one at the same time, and operations that went on without Redis.",
			of(`sum(rate(booking_holds_lost_total{…}[]))`, "holds lost"), of(`sum(rate(booking_redis_fallbacks_total{…}[]))`, "without Redis")),
		graph("Longest overdue hold", seconds, "A sweep each second expires them; more than a minute means that it does not.",
			of(`max(booking_holds_overdue_seconds{…})`, "overdue")),
		graph("Creates written together", count, "Mean of a batch. It rises when PostgreSQL takes longer to commit.",
			of(`sum(rate(booking_create_batch_size_sum{…}[])) / sum(rate(booking_create_batch_size_count{…}[]))`, "creates")),
		graph("Neighbours", count, "1 when every replica reaches it, 0 when one does not.",
			of(`min by (dependency) (booking_dependency_up{…})`, "{{dependency}}")),
	}
}

func outbox() []panel {
	return []panel{
		graph("Events that wait", count, "Written by changes of bookings, not acknowledged by Kafka.", of(`max(outbox_pending{…})`, "pending")),
		graph("Oldest event that waits", seconds, "", of(`max(outbox_oldest_pending_age_seconds{…})`, "age")),
		graph("Given up", count, "Kafka refused them; booking-svc outbox list shows them.", of(`max(outbox_dlq{…})`, "dlq")),
		graph("Published by topic", perSecond, "", of(`sum by (topic) (rate(kafka_messages_published_total{…}[]))`, "{{topic}}")),
		graph("Not taken by topic", perSecond, "Tries that Kafka did not acknowledge; the events are sent again.",
			of(`sum by (topic) (rate(kafka_publish_errors_total{…}[])) or vector(0)`, "{{topic}}")),
	}
}

func postgres() []panel {
	return []panel{
		graph("Operations", perSecond, "", of(`sum by (operation) (rate(database_queries_total{…}[]))`, "{{operation}}")),
		graph("p99 by operation", seconds, "With the wait for a connection.", quantile("0.99", "database_query_duration_seconds", "operation", "{{operation}}")),
		graph("Connections in use", count, "calls and workers have a pool each.",
			of(`sum by (pool) (database_pool_acquired_connections{…})`, "{{pool}} in use"),
			of(`sum by (pool) (database_pool_idle_connections{…})`, "{{pool}} idle"),
			of(`sum by (pool) (database_pool_max_connections{…})`, "{{pool}} at most")),
		graph("Wait for a connection", seconds, "Mean of all that took one.",
			of(`sum by (pool) (rate(database_pool_wait_seconds_total{…}[])) / sum by (pool) (rate(database_pool_acquires_total{…}[]))`, "{{pool}}")),
		graph("Waited, gave up", perSecond, "Callers that had to wait for a connection, and those whose time ran out meanwhile.",
			of(`sum by (pool) (rate(database_pool_waits_total{…}[]))`, "{{pool}} waited"),
			of(`sum by (pool) (rate(database_pool_gave_up_total{…}[]))`, "{{pool}} gave up")),
		graph("New connections", perSecond, "Many, all the time: something closes them.", of(`sum by (pool) (rate(database_pool_connects_total{…}[]))`, "{{pool}}")),
	}
}

func redis() []panel {
	return []panel{
		graph("Operations", perSecond, "", of(`sum by (operation) (rate(redis_operations_total{…}[]))`, "{{operation}}")),
		graph("p99 by operation", seconds, "", quantile("0.99", "redis_operation_duration_seconds", "operation", "{{operation}}")),
		graph("Connections", count, "", of(`sum(redis_pool_connections{…})`, "open"), of(`sum(redis_pool_idle_connections{…})`, "idle")),
		graph("Broken connections", perSecond, "Callers that found no connection in time, and connections that had broken.",
			of(`sum(rate(redis_pool_timeouts_total{…}[]))`, "timed out"), of(`sum(rate(redis_pool_stale_connections_total{…}[]))`, "broken")),
	}
}

func kafka() []panel {
	return []panel{
		graph("Connections", perSecond, "Opened, closed, and failed to open.",
			of(`sum(rate(kafka_client_connects_total{…}[]))`, "opened"),
			of(`sum(rate(kafka_client_disconnects_total{…}[])) or vector(0)`, "closed"),
			of(`sum(rate(kafka_client_connect_errors_total{…}[])) or vector(0)`, "failed")),
		graph("Errors on the wire", perSecond, "", of(`sum(rate(kafka_client_write_errors_total{…}[])) or vector(0)`, "writing"),
			of(`sum(rate(kafka_client_read_errors_total{…}[])) or vector(0)`, "reading")),
		graph("Bytes", bandwidth, "", of(`sum by (node_id) (rate(kafka_client_write_bytes_total{…}[]))`, "to {{node_id}}"),
			of(`sum by (node_id) (rate(kafka_client_read_bytes_total{…}[]))`, "from {{node_id}}")),
		graph("Bytes of events", bandwidth, "Before compression.", of(`sum by (topic) (rate(kafka_client_produce_bytes_total{…}[]))`, "{{topic}}")),
		graph("Records on their way", count, "Handed to the client and not acknowledged.",
			of(`sum(kafka_client_buffered_produce_records_total{…})`, "records")),
	}
}

func process() []panel {
	return []panel{
		graph("Processors", count, "", of(`rate(process_cpu_seconds_total{…}[])`, "{{instance}}")),
		graph("Memory", size, "", of(`process_resident_memory_bytes{…}`, "{{instance}} resident"), of(`go_memstats_heap_inuse_bytes{…}`, "{{instance}} heap")),
		graph("Goroutines", count, "", of(`go_goroutines{…}`, "{{instance}}")),
		graph("Time in garbage collection", percentage, "Pauses, as a part of the time.", of(`rate(go_gc_duration_seconds_sum{…}[])`, "{{instance}}")),
		graph("Open files", count, "Connections are files.", of(`process_open_fds{…}`, "{{instance}}"), of(`process_max_fds{…}`, "{{instance}} at most")),
		graph("Time since the start", seconds, "Short, again and again: it restarts.", of(`time() - process_start_time_seconds{…}`, "{{instance}}")),
	}
}
