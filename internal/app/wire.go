package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	goredis "github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	grpcadapter "github.com/bookingcontrol/booker-booking-svc/internal/adapter/grpc"
	kafkaadapter "github.com/bookingcontrol/booker-booking-svc/internal/adapter/kafka"
	pgadapter "github.com/bookingcontrol/booker-booking-svc/internal/adapter/postgres"
	redisadapter "github.com/bookingcontrol/booker-booking-svc/internal/adapter/redis"
	"github.com/bookingcontrol/booker-booking-svc/internal/adapter/venue"
	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/kafka"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/logging"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/metrics"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/postgres"
	"github.com/bookingcontrol/booker-booking-svc/internal/infrastructure/redis"
	"github.com/bookingcontrol/booker-booking-svc/internal/usecase/booking"
	"github.com/bookingcontrol/booker-booking-svc/migrations"
)

// Names of the dependencies in /readyz and in the log.
const (
	nameOfPostgres = string(dom.Postgres)
	nameOfSchema   = "schema"
)

// service holds the parts of the running service.
type service struct {
	cfg      *config.Config
	log      zerolog.Logger
	registry *prometheus.Registry
	metrics  *metrics.Metrics

	// pool is for calls, and workerPool for the relay and for readiness: calls that wait for a lock
	// must not keep events and health waiting.
	pool, workerPool *pgxpool.Pool

	redis     goredis.UniversalClient
	kafka     *kgo.Client
	venueConn *grpc.ClientConn

	bookings  *booking.Service
	relay     *booking.Relay
	grpc      *grpc.Server
	readiness *readiness
}

// build makes all parts. None of them connects yet.
func build(ctx context.Context, cfg *config.Config, log zerolog.Logger) (s *service, err error) {
	s = &service{cfg: cfg, log: log, registry: prometheus.NewRegistry()}
	parts := s // What is answered is nil when a part cannot be made.
	defer func() {
		if err != nil {
			parts.close()
		}
	}()
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := metrics.New(s.registry)
	s.metrics = m
	b := ThisBuild()
	metrics.RegisterBuild(s.registry, b.Version, b.Commit, b.Go)

	options := PostgresOptions(cfg)
	options.PlanOnce = true
	options.SlowQuery, options.Logger = cfg.SlowQuery, log
	options.MaxConns = workerConns(cfg)
	if s.workerPool, err = postgres.NewPool(ctx, options); err != nil {
		return nil, err
	}
	options.MaxConns = cfg.PostgresMaxConns - options.MaxConns
	if s.pool, err = postgres.NewPool(ctx, options); err != nil {
		return nil, err
	}
	metrics.RegisterPostgresPool(s.registry, "calls", s.pool.Stat)
	metrics.RegisterPostgresPool(s.registry, "workers", s.workerPool.Stat)
	redisTLS, err := clientTLS(cfg.RedisTLS, cfg.RedisCAFile, "REDIS_TLS_CA_FILE")
	if err != nil {
		return nil, err
	}
	s.redis, err = redis.NewClient(redis.Options{
		Addrs: cfg.RedisAddr, User: cfg.RedisUser, Password: string(cfg.RedisPassword), Master: cfg.RedisMaster,
		Cluster: cfg.RedisCluster, TLS: redisTLS,
	})
	if err != nil {
		return nil, err
	}
	metrics.RegisterRedisPool(s.registry, s.redis.PoolStats)
	kafkaConfig, err := kafkaOptions(cfg)
	if err != nil {
		return nil, err
	}
	kafkaConfig.Registerer, kafkaConfig.Logger = s.registry, log
	if s.kafka, err = kafka.NewClient(kafkaConfig); err != nil {
		return nil, err
	}
	venueCredentials, err := s.venueCredentials()
	if err != nil {
		return nil, err
	}
	if s.venueConn, err = venue.Dial(cfg.GRPCVenueAddr, venueCredentials); err != nil {
		return nil, err
	}

	producer := kafkaadapter.NewProducer(s.kafka, m)
	s.relay = booking.NewRelay(
		pgadapter.NewEventRepository(s.workerPool, m), producer, m,
		booking.RelayConfig{Retention: cfg.OutboxRetention, RetryAfter: cfg.OutboxRetryAfter, FlushLimit: cfg.ShutdownTimeout / 4})
	venueClient := venue.NewClient(s.venueConn, venue.Options{Timeout: cfg.VenueTimeout, CacheTTL: cfg.VenueCacheTTL})
	s.bookings = booking.NewService(
		pgadapter.NewRepository(s.pool, kafkaadapter.EncodeEvent, m),
		redisadapter.NewHoldRepository(s.redis, m),
		venueClient, m, s.relay.Wake,
		booking.Config{
			HoldTTL: cfg.HoldTTL(), MaxAdvance: cfg.MaxAdvance(),
			ExpiryInterval: cfg.ExpiryInterval, KeyRetention: cfg.IdempotencyRetention,
		})

	creds, err := s.serverCredentials()
	if err != nil {
		return nil, err
	}
	known, err := s.knownCallers()
	if err != nil {
		return nil, err
	}
	var health *health.Server
	s.grpc, health = grpcadapter.NewServer(grpcadapter.NewHandler(s.bookings), grpcadapter.Options{
		Logger: log, Metrics: m, RequestTimeout: cfg.RequestTimeout, SlowCall: cfg.SlowCall, Credentials: creds, Callers: known,
		Limits: grpcadapter.Limits{
			Rate: cfg.RateLimit, Burst: cfg.RateBurst, Calls: cfg.MaxCalls, AvailabilityCalls: cfg.MaxAvailabilityCalls,
			RequestBytes: cfg.MaxRequestBytes, Streams: cfg.MaxStreams,
		},
	})
	s.readiness = newReadiness(health, log, m,
		dependency{nameOfPostgres, true, s.workerPool.Ping},
		dependency{nameOfSchema, true, func(ctx context.Context) error { return CheckSchema(ctx, s.workerPool) }},
		dependency{string(dom.Redis), false, func(ctx context.Context) error { return s.redis.Ping(ctx).Err() }},
		dependency{string(dom.Kafka), false, producer.Ping},
		dependency{string(dom.Venue), false, func(ctx context.Context) error { return venue.Check(ctx, s.venueConn) }},
	)
	return s, nil
}

// CheckSchema answers an error that names `booking-svc migrate up` when the database lacks a
// migration. A newer schema is fine: replicas of two versions run side by side while a new one is
// rolled out.
func CheckSchema(ctx context.Context, pool *pgxpool.Pool) error {
	version, err := postgres.SchemaVersion(ctx, pool)
	if err == nil && version < migrations.Latest {
		err = &schemaError{have: version, need: migrations.Latest}
	}
	return err
}

// startWorkers starts what works beside the calls. Each of them ends soon after ctx is done, the relay
// last: a sweep that is under way commits events.
func (s *service) startWorkers(ctx context.Context, wg *sync.WaitGroup) {
	// Topics are still made while a stopping relay sends what waits for them.
	relaying, stopTopics := context.WithCancel(context.WithoutCancel(ctx))
	wg.Go(func() {
		err := kafka.EnsureTopics(relaying, s.kafka, int32(s.cfg.KafkaTopicPartitions), int16(s.cfg.KafkaTopicReplication), dom.Topics()...)
		if err != nil && relaying.Err() == nil {
			s.log.Error().Err(err).Msg("Failed to create topics")
		}
	})
	sweeping, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	wg.Go(func() {
		defer stopRelay()
		s.bookings.StartExpiredHoldsWorker(ctx)
	})
	wg.Go(func() {
		defer stopTopics()
		if err := s.relay.Run(sweeping); err != nil {
			s.log.Warn().Err(err).Msg("Relay did not give its shards back; others take them over in seconds")
		}
	})
	wg.Go(func() { s.bookings.StartKeyCleanup(ctx) })
	if s.cfg.GuestDataRetention > 0 {
		wg.Go(func() { booking.StartGuestErasure(ctx, pgadapter.NewGuestData(s.pool), s.cfg.GuestDataRetention) })
	}
}

// operatorsHandler serves /metrics, /healthz (the process lives), /readyz (it can serve calls) and
// /log-level, and the profiles if they are asked for.
func (s *service) operatorsHandler(level *logging.Level) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /readyz", s.readiness)
	mux.Handle("/log-level", level.Handler(s.log))
	if s.cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	}
	return mux
}

// close gives all connections back. Parts that were not made are left out.
func (s *service) close() {
	if s.grpc != nil {
		s.grpc.Stop() // Again, or for the first time when it never served.
	}
	if s.kafka != nil {
		s.kafka.Close()
	}
	var errs []error
	if s.venueConn != nil {
		errs = append(errs, s.venueConn.Close())
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Close())
	}
	if err := errors.Join(errs...); err != nil {
		s.log.Warn().Err(err).Msg("Failed to close connections")
	}
	for _, pool := range []*pgxpool.Pool{s.pool, s.workerPool} {
		if pool != nil {
			pool.Close()
		}
	}
}

// workerConns is how many of the connections to PostgreSQL are the workers'.
func workerConns(cfg *config.Config) int { return min(4, cfg.PostgresMaxConns/4) }

// kafkaOptions answers where the settings say that Kafka is, and how the service is let in.
func kafkaOptions(cfg *config.Config) (kafka.Config, error) {
	tlsConfig, err := clientTLS(cfg.KafkaTLS, cfg.KafkaCAFile, "KAFKA_TLS_CA_FILE")
	k := kafka.Config{Brokers: cfg.KafkaBrokers, ClientID: metrics.Service, TLS: tlsConfig}
	if cfg.KafkaSASL != config.SASLNone {
		k.Mechanism, k.User, k.Password = cfg.KafkaSASL, cfg.KafkaUser, string(cfg.KafkaPassword)
	}
	return k, err
}

// PostgresOptions answers where the settings say that the database is.
func PostgresOptions(cfg *config.Config) postgres.Options {
	return postgres.Options{
		Host: cfg.PostgresHost, Port: cfg.PostgresPort, Database: cfg.PostgresDB,
		User: cfg.PostgresUser, Password: string(cfg.PostgresPassword),
		SSLMode: cfg.PostgresSSLMode, RootCert: cfg.PostgresRootCert, MaxConns: cfg.PostgresMaxConns, Pooled: cfg.PostgresPooler == config.PoolerTransaction,
	}
}
