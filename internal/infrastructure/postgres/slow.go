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
// that nothing is allocated for it. It is a statement, or a batch of them, which the server answers as a whole.
type roundTrip struct {
	began time.Time
	sql   string
	batch *pgx.Batch
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
	*tripOf(conn) = roundTrip{began: time.Now(), sql: data.SQL}
	return t.Tracer.TraceQueryStart(ctx, conn, data)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (t *slowTracer) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	t.end(ctx, conn)
	t.Tracer.TraceQueryEnd(ctx, conn, data)
}

// TraceBatchStart implements pgx.BatchTracer.
func (t *slowTracer) TraceBatchStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	*tripOf(conn) = roundTrip{began: time.Now(), batch: data.Batch}
	return t.Tracer.TraceBatchStart(ctx, conn, data)
}

// TraceBatchEnd implements pgx.BatchTracer.
func (t *slowTracer) TraceBatchEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchEndData) {
	t.end(ctx, conn)
	t.Tracer.TraceBatchEnd(ctx, conn, data)
}

// end logs the round trip if it took long. It may be told twice of the end of one.
func (t *slowTracer) end(ctx context.Context, conn *pgx.Conn) {
	trip := tripOf(conn)
	ended := *trip
	*trip = roundTrip{}
	if ended.began.IsZero() {
		return
	}
	took := time.Since(ended.began)
	if took < t.threshold {
		return
	}
	line := t.log.Warn().Dur("duration_ms", took).Str("sql", ended.text())
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		line.Stringer("trace_id", span.TraceID())
	}
	line.Msg("Slow query")
}

// maxSQL is how much of a statement is logged, in bytes.
const maxSQL = 1000

// text writes what ran as one line.
func (r *roundTrip) text() string {
	texts := []string{r.sql}
	if r.batch != nil {
		texts = texts[:0]
		for _, q := range r.batch.QueuedQueries {
			texts = append(texts, q.SQL)
		}
	}
	text := strings.Join(strings.Fields(strings.Join(texts, "; ")), " ")
	if len(text) > maxSQL {
		text = strings.ToValidUTF8(text[:maxSQL], "") + "…"
	}
	return text
}
