package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	commonpb "github.com/bookingcontrol/booker-booking-svc/proto/common"
)

// What docs/events.md shows is what the contract has.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/events.md")
	require.NoError(t, err)
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(page, -1)
	require.Len(t, examples, 3)
	for _, example := range examples {
		e := &commonpb.BookingEvent{}
		require.NoError(t, protojson.Unmarshal(example[1], e), string(example[1]))
		require.NotNil(t, e.GetPayload())
	}

	// The table of topics has the payload of each, with its fields.
	payload := (&commonpb.BookingEvent{}).ProtoReflect().Descriptor().Oneofs().ByName("payload").Fields()
	for _, topic := range topics {
		field := payload.ByName(protoreflect.Name(strings.TrimPrefix(topic, "booking.")))
		require.NotNil(t, field, topic)
		var fields []string
		for i := range field.Message().Fields().Len() {
			fields = append(fields, "`"+string(field.Message().Fields().Get(i).Name())+"`")
		}
		row := regexp.MustCompile("(?m)^\\| `" + topic + "` \\|.*\\| `" + string(field.Name()) + "`: " + strings.Join(fields, ", ") + "[ ,].*$")
		require.Regexp(t, row, string(page))
	}
}
