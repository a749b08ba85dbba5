//go:build !nodev

package command

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
	"github.com/bookingcontrol/booker-booking-svc/internal/demo"
	"github.com/bookingcontrol/booker-booking-svc/internal/devstack"
)

// runDemo plays an evening against a running dev. It takes the ports as dev does.
func runDemo(ctx context.Context, env Env, args []string) error {
	var port, kafkaPort, postgresPort int
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(env.Stderr)
	flags.IntVar(&port, "port", 0, "port of the service's gRPC server (default PORT, or 50052)")
	flags.IntVar(&kafkaPort, "kafka-port", devstack.DefaultKafkaPort, "port of Kafka")
	flags.IntVar(&postgresPort, "postgres-port", devstack.DefaultPostgresPort, "port of PostgreSQL")
	if err := parse(flags, args); err != nil {
		return err
	}
	if port == 0 {
		var err error
		if port, err = servicePort(env.Environ); err != nil {
			return err
		}
	}
	database := url.URL{
		Scheme: "postgres", User: url.UserPassword(devstack.PostgresUser, devstack.PostgresPassword),
		Host: local(postgresPort), Path: "/" + devstack.PostgresDatabase, RawQuery: "sslmode=disable",
	}
	err := demo.Run(ctx, demo.Options{
		GRPCAddr: local(port), KafkaBroker: local(kafkaPort), PostgresURL: database.String(), Out: env.Stdout,
	})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// servicePort answers PORT, or its default. The other settings are not the demo's.
func servicePort(environ []string) (int, error) {
	var only []string
	for _, entry := range environ {
		if strings.HasPrefix(entry, "PORT=") {
			only = append(only, entry)
		}
	}
	// METRICS_PORT must differ from PORT, and is of no interest here.
	cfg, err := config.Load(append(only, "METRICS_PORT="+strconv.Itoa(1)))
	if err != nil {
		return 0, err
	}
	return cfg.Port, nil
}
