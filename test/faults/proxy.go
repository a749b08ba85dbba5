package main

import (
	"context"
	"fmt"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/bookingcontrol/booker-booking-svc/test/process"
)

// proxy is the way of the replicas to one neighbour, which faults make worse.
type proxy struct{ *toxiproxy.Proxy }

// newProxy starts a proxy from port to the neighbour's port.
func newProxy(name string, port, upstream int) (*proxy, error) {
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := &proxy{toxiproxy.NewProxy(api, name, process.Address(port), process.Address(upstream))}
	if err := p.Start(); err != nil {
		return nil, fmt.Errorf("proxy of %s: %w", name, err)
	}
	return p, nil
}

// refuse closes all connections and refuses new ones, as a host without the server does.
func (p *proxy) refuse() error {
	p.Stop()
	return nil
}

// toxic makes both directions worse; attributes is JSON.
func (p *proxy) toxic(kind, attributes string) error {
	for _, stream := range []string{"upstream", "downstream"} {
		_, err := p.Toxics.AddToxicJson(strings.NewReader(
			fmt.Sprintf(`{"type":%q,"stream":%q,"attributes":%s}`, kind, stream, attributes)))
		if err != nil {
			return fmt.Errorf("proxy of %s: %s: %w", p.Name, kind, err)
		}
	}
	return nil
}

// swallow keeps the connections and lets nothing through, as a network that drops packets does.
func (p *proxy) swallow() error { return p.toxic("timeout", `{"timeout":0}`) }

// delay holds data back; the two directions together by ms milliseconds.
func (p *proxy) delay(ms int) error {
	return p.toxic("latency", fmt.Sprintf(`{"latency":%d}`, ms/2))
}

// trickle lets a few kilobytes a second through.
func (p *proxy) trickle(kilobytes int) error {
	return p.toxic("bandwidth", fmt.Sprintf(`{"rate":%d}`, kilobytes))
}

// reset breaks every connection off by a TCP reset as soon as something is sent on it.
func (p *proxy) reset() error { return p.toxic("reset_peer", `{"timeout":0}`) }

// heal makes the way good again.
func (p *proxy) heal() error {
	p.Toxics.ResetToxics(context.Background())
	if !p.Enabled {
		return p.Start()
	}
	return nil
}
