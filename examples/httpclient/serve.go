package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
)

// pause is the time between two requests of serve.
const pause = 5 * time.Millisecond

// serve shows what the client knows of its servers, and keeps them busy, until the
// context ends.
func (p *play) serve(ctx context.Context, listener net.Listener, stdout io.Writer) error {
	server := &http.Server{Handler: p.balancer.DebugHandler(), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	_, err := fmt.Fprintf(stdout, "\nhttp://%s/ shows the client's state, with %d requests a second, until ^C.\n",
		listener.Addr(), time.Second/pause)
	if err != nil {
		return errors.Join(fmt.Errorf("writing the report: %w", err), server.Close())
	}
	ask, keys := askVia(p.balancer), lookup.NewPopularity(p.Keys, serveSeed)
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return server.Close()
		case err := <-served:
			return fmt.Errorf("-serve: %w", err)
		case <-ticker.C:
			if o := ask.One(ctx, keys.Draw(1)[0]); o.Err != nil && ctx.Err() == nil {
				return errors.Join(o.Err, server.Close())
			}
		}
	}
}
