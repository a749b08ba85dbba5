package command

import (
	"context"
	"errors"
)

func runDev(context.Context, Env, []string) error { return errors.New("dev: not there yet") }
