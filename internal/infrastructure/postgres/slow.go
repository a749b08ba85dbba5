package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
)

// slowTracer makes spans as otelpgx does, and logs round trips that take long: the text of the statement,
// without its parameters, which are customers' data, and the trace. A statement that serves several calls
// belongs to the trace of the first of them, which has waited longest.
type slowTracer struct {
	*otelpgx.Tracer
	threshold time.Duration
	log       zerolog.Logger
}

// roundTrip is what runs on a connection, which does one thing at a time: it is kept with the connection, so
// that nothing is allocated for it.
type roundTrip struct {
	began time.Time
	// sql is the statement, of several the slowest, which took sqlTook; heard is when the last one was answered.
	sql        string
	sqlTook    time.Duration
	heard      time.Time
	statements int
}

const roundTripKey = "booking-svc round trip"

// tripOf answers what runs on conn.
func tripOf(conn *pgx.Conn) *roundTrip {
	data := conn.PgConn().CustomData()
	if trip, ok := data[roundTripKey].(*roundTrip); ok {
		return trip
	}
	trip := &roundTrip{}
	data[roundTripKey] = trip
	return trip
}

// TraceQueryStart implements pgx.QueryTracer.
func (t *slowTracer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	*tripOf(conn) = roundTrip{began: time.Now(), sql: data.SQL, statements: 1}
	return t.Tracer.TraceQueryStart(ctx, conn, data)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (t *slowTracer) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	t.end(ctx, conn)
	t.Tracer.TraceQueryEnd(ctx, conn, data)
}

// TraceBatchStart implements pgx.BatchTracer.
func (t *slowTracer) TraceBatchStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	now := time.Now()
	// The first one's text is for a round trip that fails before any answer.
	*tripOf(conn) = roundTrip{began: now, heard: now, sql: data.Batch.QueuedQueries[0].SQL}
	return t.Tracer.TraceBatchStart(ctx, conn, data)
}

// TraceBatchQuery implements pgx.BatchTracer. Statements that are sent together are answered one after the
// other, each when it is done.
func (t *slowTracer) TraceBatchQuery(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchQueryData) {
	trip, now := tripOf(conn), time.Now()
	if took := now.Sub(trip.heard); took > trip.sqlTook || trip.statements == 0 {
		trip.sql, trip.sqlTook = data.SQL, took
	}
	trip.heard = now
	trip.statements++
	t.Tracer.TraceBatchQuery(ctx, conn, data)
}

// TraceBatchEnd implements pgx.BatchTracer.
func (t *slowTracer) TraceBatchEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchEndData) {
	t.end(ctx, conn)
	t.Tracer.TraceBatchEnd(ctx, conn, data)
}

// maxSQL is how much of a statement is logged, in bytes.
const maxSQL = 1000

// end logs the round trip if it took long. It may be told twice of the end of one.
func (t *slowTracer) end(ctx context.Context, conn *pgx.Conn) {
	trip := tripOf(conn)
	if trip.began.IsZero() {
		return
	}
	took := time.Since(trip.began)
	trip.began = time.Time{}
	if took < t.threshold {
		return
	}
	sql := strings.Join(strings.Fields(trip.sql), " ")
	if len(sql) > maxSQL {
		sql = strings.ToValidUTF8(sql[:maxSQL], "") + "…"
	}
	line := t.log.Warn().Dur("duration_ms", took).Str("sql", sql)
	if trip.statements > 1 {
		line.Int("statements", trip.statements).Dur("sql_ms", trip.sqlTook)
	}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		line.Stringer("trace_id", span.TraceID())
	}
	line.Msg("Slow query")
}
