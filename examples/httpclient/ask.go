package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
)

// askVia has requests sent by a RoundTripper.
func askVia(via http.RoundTripper) lookup.Ask {
	client := &http.Client{Transport: via, Timeout: 10 * time.Second}
	return func(ctx context.Context, key string) (lookup.Answer, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://lookup.example/", nil)
		if err != nil {
			return lookup.Answer{}, err
		}
		req.Header.Set(keyHeader, key)
		resp, err := client.Do(req)
		if err != nil {
			return lookup.Answer{}, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		switch {
		case err != nil:
			return lookup.Answer{}, err
		case resp.StatusCode != http.StatusOK:
			return lookup.Answer{}, fmt.Errorf("the answer is %s", resp.Status)
		}
		return lookup.Answer{
			Server: resp.Header.Get(serverHeader),
			Hit:    resp.Header.Get(cacheHeader) == "hit",
			Value:  string(body),
		}, nil
	}
}
