package logging

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/bookingcontrol/booker-booking-svc/internal/testenv"
)

// ask sends a request to the handler of a level, and answers its status and body.
func ask(t *testing.T, h http.Handler, method, body string) (status int, text string) {
	t.Helper()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(method, "/log-level", strings.NewReader(body)))
	content, err := io.ReadAll(answer.Result().Body)
	require.NoError(t, err)
	return answer.Code, string(content)
}

func TestLevelIsChangedWhileLogging(t *testing.T) {
	t.Parallel()
	var out testenv.Buffer
	level := NewLevel(zerolog.InfoLevel)
	log := New(&out, false, level)
	// As of a request: made before the change.
	request := log.With().Str("request_id", "r1").Logger()
	h := level.Handler(log)

	status, text := ask(t, h, http.MethodGet, "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "info\n", text)
	request.Debug().Msg("hidden")
	require.Empty(t, out.String())

	status, text = ask(t, h, http.MethodPut, " debug\n")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "debug\n", text)
	request.Debug().Msg("shown")
	require.Contains(t, out.String(), `"message":"shown"`)

	status, _ = ask(t, h, http.MethodPut, "error")
	require.Equal(t, http.StatusOK, status)
	request.Warn().Msg("hidden")
	request.Error().Msg("an error")
	require.NotContains(t, out.String(), "hidden")
	require.Contains(t, out.String(), "an error")

	// Who has changed it is told, also where the level before and the one after hide such a line.
	status, _ = ask(t, h, http.MethodPut, "warn")
	require.Equal(t, http.StatusOK, status)
	for _, change := range []string{`"from":"info","to":"debug"`, `"from":"debug","to":"error"`, `"from":"error","to":"warn"`} {
		require.Contains(t, out.String(), `{"service":"booking-svc","level":"info",`+change+`,"remote_addr":"192.0.2.1:1234"`)
	}
	require.Equal(t, 3, strings.Count(out.String(), "Log level changed"))
}

func TestOnlyALevelCanBeSet(t *testing.T) {
	t.Parallel()
	var out testenv.Buffer
	level := NewLevel(zerolog.InfoLevel)
	h := level.Handler(New(&out, false, level))
	for _, body := range []string{"", "loud", "DEBUG", "trace", "disabled", "0", "debug info", "level=debug", strings.Repeat("x", 1<<20)} {
		status, text := ask(t, h, http.MethodPut, body)
		require.Equal(t, http.StatusBadRequest, status)
		require.True(t, strings.HasPrefix(text, "the level must be one of debug, info, warn, error"), text)
		require.Less(t, len(text), 100, "what is wrong is not sent back at any length")
	}
	for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
		status, _ := ask(t, h, method, "debug")
		require.Equal(t, http.StatusMethodNotAllowed, status, method)
	}
	require.Equal(t, zerolog.InfoLevel, level.current())
	require.Empty(t, out.String())
}

// Lines that are not written cost nothing, as with a level that is fixed.
func TestHiddenLinesAllocateNothing(t *testing.T) {
	log := New(io.Discard, false, NewLevel(zerolog.InfoLevel))
	require.Zero(t, testing.AllocsPerRun(100, func() { log.Debug().Str("status", "ok").Msg("gRPC call") }))
}
