// Command doc writes docs/configuration.md from the settings that the service reads. The groups are those of
// .env.example, which a test keeps equal to the settings. `make generate` runs it.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/bookingcontrol/booker-booking-svc/internal/config"
)

func main() {
	example := flag.String("groups", ".env.example", "file that groups the settings under lines `# --- NAME`")
	out := flag.String("out", "docs/configuration.md", "file to write")
	flag.Parse()
	if err := run(*example, *out); err != nil {
		fmt.Fprintf(os.Stderr, "configuration.md: %v\n", err)
		os.Exit(1)
	}
}

func run(example, out string) error {
	text, err := os.ReadFile(example)
	if err != nil {
		return err
	}
	page, err := render(string(text), config.Settings())
	if err != nil {
		return fmt.Errorf("%s: %w", example, err)
	}
	return os.WriteFile(out, page, 0o644)
}

const intro = `<!-- Made from internal/config by ` + "`make generate`" + `; not to be edited. -->
# Configuration

All settings come from the environment. ` + "`booking-svc --help`" + ` prints them too, and [.env.example](../.env.example) is ready to copy.

- An empty variable counts as not set: it has its default.
- All wrong settings are named at once at the start, each with its variable, and the process ends with a non-zero status.
- Durations are written as ` + "`1500ms`, `2s`, `5m` or `24h`" + `.
- Passwords are in no log, no error and no metric.
- Commands that need the database only (` + "`migrate`, `outbox`" + `) read the same variables.
`

// render writes the page: the settings in their order, under the groups of the example.
func render(example string, settings []config.Setting) ([]byte, error) {
	groups, err := groupsOf(example)
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	page.WriteString(intro)
	group := ""
	for _, s := range settings {
		of, known := groups[s.Name]
		if !known {
			return nil, fmt.Errorf("%s is missing, or stands before the first group", s.Name)
		}
		if of != group {
			group = of
			fmt.Fprintf(&page, "\n## %s\n| variable | default | meaning | values |\n| --- | --- | --- | --- |\n", group)
		}
		def := "(empty)"
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", s.Name, def, cell(s.Meaning), cell(s.Values))
	}
	return page.Bytes(), nil
}

// groupsOf answers the group of each variable of the example.
func groupsOf(example string) (map[string]string, error) {
	groups, group := make(map[string]string), ""
	for line := range strings.Lines(example) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "# --- "); ok {
			group = name
			continue
		}
		if name, _, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") && group != "" {
			groups[name] = group
		}
	}
	if group == "" {
		return nil, fmt.Errorf("no group (a line `# --- NAME`)")
	}
	return groups, nil
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
