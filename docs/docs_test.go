// Package docs has no code, only tests of the pages.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// page is a page of Markdown, taken apart.
type page struct {
	// headings are the marks of the headings: ##.
	headings []string
	titles   []string
	// commands are the lines of blocks ```console, without their comments.
	commands []string
	// blocks are the languages of all blocks, each with its number of lines.
	blocks []string
	links  []string
	// code are the spans of inline code, each once, sorted.
	code []string
	rows int
}

var (
	heading = regexp.MustCompile(`^(#+) (.*)$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	span    = regexp.MustCompile("`([^`]+)`")
	comment = regexp.MustCompile(`\s+# .*$`)
)

func read(t *testing.T, path string) (p page) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var prose strings.Builder
	language, lines, inside := "", 0, false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if fence, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
			if inside {
				p.blocks = append(p.blocks, language+strings.Repeat(".", lines))
			}
			language, lines, inside = fence, 0, !inside
			continue
		}
		if inside {
			lines++
			if language == "console" {
				p.commands = append(p.commands, comment.ReplaceAllString(line, ""))
			}
			continue
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			p.headings, p.titles = append(p.headings, m[1]), append(p.titles, m[2])
		}
		if strings.HasPrefix(line, "|") {
			p.rows++
		}
		prose.WriteString(line + "\n")
	}
	require.False(t, inside, "%s: a block does not end", path)
	for _, m := range link.FindAllStringSubmatch(prose.String(), -1) {
		p.links = append(p.links, m[1])
	}
	for _, m := range span.FindAllStringSubmatch(prose.String(), -1) {
		p.code = append(p.code, strings.Join(strings.Fields(m[1]), " "))
	}
	slices.Sort(p.code)
	p.code = slices.Compact(p.code)
	return p
}

// The Russian README says what the English one says: the same sections, commands, tables, names and links.
func TestReadmesAgree(t *testing.T) {
	english, russian := read(t, "../README.md"), read(t, "../README.ru.md")
	require.Equal(t, english.headings, russian.headings, "sections")
	require.Equal(t, english.commands, russian.commands, "commands")
	require.Equal(t, english.blocks, russian.blocks, "blocks")
	require.Equal(t, english.rows, russian.rows, "rows of tables")
	require.Equal(t, english.code, russian.code, "names in `code`")
	require.Equal(t, "README.ru.md", english.links[0])
	require.Equal(t, "README.md", russian.links[0])
	require.ElementsMatch(t, english.links[1:], russian.links[1:], "links")
}

// Links of any page to files of this repository, and to their sections, lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	pages := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || path != ".." && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		pages++
		for _, target := range read(t, path).links {
			file, section, _ := strings.Cut(target, "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if file = filepath.Join(filepath.Dir(path), file); target[0] == '#' {
				file = path
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %s is not there", path, target)
				continue
			}
			if section != "" && !slices.Contains(sections(read(t, file)), section) {
				t.Errorf("%s: %s has no such section", path, target)
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, pages, 10)
}

// Every reason of an error is explained to clients.
func TestReasonsAreExplained(t *testing.T) {
	code, err := os.ReadFile("../internal/adapter/grpc/errors.go")
	require.NoError(t, err)
	reasons := regexp.MustCompile(`\tReason\w+\s+= "([A-Z_]+)"`).FindAllStringSubmatch(string(code), -1)
	require.Greater(t, len(reasons), 5)
	clients, err := os.ReadFile("clients.md")
	require.NoError(t, err)
	for _, reason := range reasons {
		require.Regexp(t, "(?m)^\\| .*\\| `"+reason[1]+"`.*\\|", string(clients), "the table of errors in clients.md")
	}
}

// What clients.md recommends is what the examples use.
func TestServiceConfigIsShown(t *testing.T) {
	clients, err := os.ReadFile("clients.md")
	require.NoError(t, err)
	config, err := os.ReadFile("../examples/client/service_config.json")
	require.NoError(t, err)
	require.Contains(t, string(clients), "```json\n"+string(config)+"```")
}

// sections are the names by which links find headings, as GitHub and GitLab make them.
func sections(p page) (names []string) {
	for _, title := range p.titles {
		names = append(names, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, title))
	}
	return names
}
