//go:build nodev

package command

func developersCommands() []command { return nil }
