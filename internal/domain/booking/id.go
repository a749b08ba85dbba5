package booking

// MaxIDLength is the longest id of a venue, room or table, in characters.
const MaxIDLength = 36

// ValidID tells whether s can be the id of a venue, room, table or booking: 1 to 36 letters or
// digits of ASCII, '.', '_' or '-'.
func ValidID(s string) bool {
	if s == "" || len(s) > MaxIDLength {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
