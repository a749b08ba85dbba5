package booking

import "context"

type callerKey struct{}

// WithCaller tells the use cases who calls: it is written into the audit log. The name has at most 255
// characters.
func WithCaller(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, callerKey{}, name)
}

// CallerOf answers who calls, empty if that is not known.
func CallerOf(ctx context.Context) string {
	name, _ := ctx.Value(callerKey{}).(string)
	return name
}

// adminID answers the admin of a request: who it names, else who calls, if that can be an admin's id.
func adminID(ctx context.Context, named string) string {
	if named != "" {
		return named
	}
	caller := CallerOf(ctx)
	var v validation
	if v.text("admin_id", caller, maxAdminID); v.err() != nil {
		return ""
	}
	return caller
}
