//go:build integration

package redis

import (
	"testing"

	"github.com/redis/go-redis/v9"

	dom "github.com/bookingcontrol/booker-booking-svc/internal/domain/booking"
	"github.com/bookingcontrol/booker-booking-svc/internal/domain/booking/bookingtest"
	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

func TestHoldRepositoryContractOnRedis(t *testing.T) {
	t.Parallel()
	addr := testenv.RedisAddr(t)
	bookingtest.TestHoldRepository(t, func(t *testing.T) dom.HoldRepository {
		return newPatientRepo(newClient(t, &redis.Options{Addr: addr}))
	})
}
