package command

import (
	"context"
	"errors"
)

func runDemo(context.Context, Env, []string) error { return errors.New("demo: not there yet") }
