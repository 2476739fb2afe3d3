package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Address completes what a user wrote: a port, or an address with one. Without an
// address only this machine is served.
func Address(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil && !strings.Contains(text, ":") {
		host, port, err = "", text, nil
	}
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || strconv.FormatUint(n, 10) != port {
		return "", errors.New("want a port, or an address with a port, as in 9464 or 0.0.0.0:9464")
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

const (
	// inFlight is how many scrapes there may be at a time; one more is told to come
	// again.
	inFlight = 4
	patience = 10 * time.Second // with who is slow
)

// Server serves /metrics.
type Server struct {
	http *http.Server
	url  string
	done chan struct{}
}

// Listen serves collectors at an address until Close. The process itself is among
// the figures: built-in nodes run in it.
func Listen(address string, all ...prometheus.Collector) (*Server, error) {
	registry := prometheus.NewRegistry()
	for _, c := range append(all, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})) {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: inFlight}))
	s := &Server{
		url: "http://" + l.Addr().String() + "/metrics", done: make(chan struct{}),
		http: &http.Server{Handler: mux, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: time.Minute},
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // until Close
	}()
	return s, nil
}

// URL is where the figures are.
func (s *Server) URL() string { return s.url }

// Close ends what is being served, too: the address is free after it.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return err
}
