package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// parse reads flags, of a command that takes no other arguments.
func parse(flags *flag.FlagSet, args []string) error {
	rest, err := parseArguments(flags, fmt.Sprintf("Flags of %s:\n", flags.Name()), args)
	if err != nil {
		return err
	}
	return noArguments(flags.Name(), rest)
}

// parseArguments reads flags, which may stand before, between and after the other arguments, and
// answers those. When help is asked for it prints help and the flags, and answers flag.ErrHelp.
func parseArguments(flags *flag.FlagSet, help string, args []string) (rest []string, err error) {
	output := flags.Output()
	flags.SetOutput(io.Discard) // the error is reported once, as of any command
	defer flags.SetOutput(output)
	for {
		err := flags.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			flags.SetOutput(output)
			fmt.Fprint(output, help)
			flags.PrintDefaults()
			return nil, err
		case err != nil:
			return nil, usageErrorf("%s: %v", flags.Name(), err)
		case flags.NArg() == 0:
			return rest, nil
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
}
