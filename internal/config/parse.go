package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

func text(to *string) func(string) error {
	return func(value string) error {
		if strings.TrimSpace(value) != value || strings.ContainsFunc(value, isControl) {
			return errors.New("must not have spaces around it, nor control characters")
		}
		*to = value
		return nil
	}
}

func secret(to *Secret) func(string) error {
	return func(value string) error {
		*to = Secret(value)
		return nil
	}
}

// secretFile reads a secret from a file, without the line's end that editors put there. name is the variable
// that has the secret itself.
func secretFile(to *Secret, name string) func(string) error {
	return func(path string) error {
		if path == "" {
			return nil
		}
		if *to != "" {
			return fmt.Errorf("must not be set together with %s", name)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			// Not the path: it may be the secret itself, pasted into the wrong variable.
			return fmt.Errorf("must be a file that can be read: %w", cause(err))
		}
		*to = Secret(strings.TrimRight(string(content), "\r\n"))
		if *to == "" {
			return errors.New("must be a file with the secret in it, not an empty one")
		}
		return nil
	}
}

// file takes the path of a file that can be read, or nothing.
func file(to *string) func(string) error {
	return func(path string) error {
		if path == "" {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("must be a file that can be read, not %q: %w", path, cause(err))
		}
		*to = path
		return f.Close()
	}
}

// cause answers what is wrong with a file, without its path.
func cause(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// permissions are what a caller may be given.
var permissions = []string{"read", "book", "operate"}

// callers takes name=permission+permission, several with commas.
func callers(to *map[string][]string) func(string) error {
	return func(value string) error {
		if value == "" {
			return nil
		}
		*to = make(map[string][]string)
		for entry := range strings.SplitSeq(value, ",") {
			name, list, _ := strings.Cut(strings.TrimSpace(entry), "=")
			granted := strings.Split(list, "+")
			known := !slices.ContainsFunc(granted, func(p string) bool { return !slices.Contains(permissions, p) })
			if _, twice := (*to)[name]; name == "" || twice || !known {
				return fmt.Errorf("must be names with permissions, each name once, as admin-gateway=read+book+operate,venue-svc=read, not %q", entry)
			}
			(*to)[name] = granted
		}
		return nil
	}
}

func oneOf(to *string, allowed ...string) func(string) error {
	return func(value string) error {
		if !slices.Contains(allowed, value) {
			return fmt.Errorf("must be one of %s, not %q", strings.Join(allowed, ", "), value)
		}
		*to = value
		return nil
	}
}

func onOff(to *bool) func(string) error {
	return func(value string) error {
		var name string
		err := oneOf(&name, "on", "off")(value)
		*to = name == "on"
		return err
	}
}

func level(to *zerolog.Level) func(string) error {
	return func(value string) error {
		var name string
		if err := oneOf(&name, "debug", "info", "warn", "error")(value); err != nil {
			return err
		}
		parsed, err := zerolog.ParseLevel(name)
		*to = parsed
		return err
	}
}

func integer(to *int, least, most int) func(string) error {
	return func(value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return fmt.Errorf("must be a whole number from %d to %d, not %q", least, most, value)
		}
		*to = n
		return nil
	}
}

// countOrDefault takes a count, or -1, which leaves it to the broker.
func countOrDefault(to *int, most int) func(string) error {
	return func(value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < -1 || n == 0 || n > most {
			return fmt.Errorf("must be -1 or a whole number from 1 to %d, not %q", most, value)
		}
		*to = n
		return nil
	}
}

func duration(to *time.Duration, least, most time.Duration) func(string) error {
	return func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < least || d > most {
			return fmt.Errorf("must be a duration from %v to %v, as 1500ms or 2m, not %q", least, most, value)
		}
		*to = d
		return nil
	}
}

// durationOrZero takes a duration, or 0, which means that there is none.
func durationOrZero(to *time.Duration, least, most time.Duration) func(string) error {
	return func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d != 0 && (d < least || d > most) {
			return fmt.Errorf("must be 0 or a duration from %v to %v, as 1500ms or 2m, not %q", least, most, value)
		}
		*to = d
		return nil
	}
}

func ratio(to *float64) func(string) error {
	return func(value string) error {
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return fmt.Errorf("must be a number from 0 to 1, not %q", value)
		}
		*to = f
		return nil
	}
}

// address takes host:port. Its error does not repeat the value, which may be a URL with a password.
func address(to *string) func(string) error {
	return func(value string) error {
		if !isAddress(value) {
			return errors.New("must be host:port")
		}
		*to = value
		return nil
	}
}

func addresses(to *[]string) func(string) error {
	return func(value string) error {
		list := strings.Split(value, ",")
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
			if !isAddress(list[i]) {
				return errors.New("must be host:port, several with commas")
			}
		}
		*to = list
		return nil
	}
}

// endpoint takes a URL. A user and password in it are refused: the URL is logged.
func endpoint(to *string) func(string) error {
	return func(value string) error {
		if value == "" {
			return nil
		}
		u, err := url.Parse(value)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil {
			return errors.New("must be a URL, as http://localhost:4318, without user or password")
		}
		*to = value
		return nil
	}
}

func isAddress(value string) bool {
	host, port, err := net.SplitHostPort(value)
	if err != nil || host == "" || strings.ContainsFunc(host, func(r rune) bool { return r == ' ' || r == '/' || isControl(r) }) {
		return false
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 1 && n <= 65535
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
