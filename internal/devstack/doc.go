// Package devstack runs the neighbours of the booking service on a developer's machine: a real
// PostgreSQL, and a Redis, a Kafka broker and a demo venue inside this process.
package devstack
