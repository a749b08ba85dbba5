package command

import (
	"context"
	"errors"
)

func runMigrate(context.Context, Env, []string) error { return errors.New("migrate: not there yet") }
