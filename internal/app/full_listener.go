package app

import (
	"net"
	"sync"
	"sync/atomic"
)

// fullListener closes connections that are more than it takes at a time: to let them wait, as others do,
// would keep a client from trying another replica.
type fullListener struct {
	net.Listener
	most int64
	open atomic.Int64
}

// Accept waits for the next connection that there is room for.
func (l *fullListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		_ = conn.Close()
	}
}

type countedConn struct {
	net.Conn
	closed func()
}

// Close closes the connection, and makes room for another.
func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}
