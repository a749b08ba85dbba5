//go:build !nodev

package command

// developersCommands are for those who work on the service or try it out; an image is built without them, as
// the servers that they embed are a tenth of the binary.
func developersCommands() []command {
	return []command{
		{"dev", "run the service with all its neighbours, nothing to install", true, runDev},
		{"demo", "play a Saturday evening against a running dev", true, runDemo},
	}
}
