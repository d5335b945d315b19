package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
)

const (
	serviceName = "maglev.example.Lookup"
	getMethod   = "/" + serviceName + "/Get"
)

// The headers of calls and answers.
const (
	keyHeader    = "x-key"
	serverHeader = "x-server" // who has answered
	cacheHeader  = "x-cache"  // hit or miss

	// retryHeader comes with what gRPC sends again (gRFC A6).
	retryHeader = "grpc-previous-rpc-attempts"
)

// A lookupServer is what the service asks of a server: rpc Get(google.protobuf.StringValue)
// returns (google.protobuf.StringValue).
type lookupServer interface {
	get(ctx context.Context, key string) (value string, err error)
}

// service is what protoc would generate from a file of its own. With a type that comes
// with protobuf it is short enough to be written, and the example needs no protoc.
var service = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*lookupServer)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Get",
		Handler: func(s any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) { // the servers have no interceptor
			var key wrapperspb.StringValue
			if err := decode(&key); err != nil {
				return nil, err
			}
			value, err := s.(lookupServer).get(ctx, key.GetValue())
			return wrapperspb.String(value), err
		},
	}},
}

// get implements lookupServer.
func (s *server) get(ctx context.Context, key string) (string, error) {
	s.waited.CompareAndSwap(0, int64(time.Since(s.started)))
	if len(metadata.ValueFromIncomingContext(ctx, retryHeader)) > 0 {
		s.retries.Add(1)
	}
	value, hit := s.Answer(key)
	from := "miss"
	if hit {
		from = "hit"
	}
	return value, grpc.SetHeader(ctx, metadata.Pairs(serverHeader, s.Name, cacheHeader, from))
}

// askBy has calls made by a ClientConn. The policy sees no messages: it hashes the
// header.
func askBy(cc *grpc.ClientConn) lookup.Ask {
	return func(ctx context.Context, key string) (lookup.Answer, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		ctx = metadata.AppendToOutgoingContext(ctx, keyHeader, key)
		var value wrapperspb.StringValue
		var header metadata.MD
		if err := cc.Invoke(ctx, getMethod, wrapperspb.String(key), &value, grpc.Header(&header)); err != nil {
			return lookup.Answer{}, err
		}
		server, from := header.Get(serverHeader), header.Get(cacheHeader)
		if len(server) != 1 || len(from) != 1 {
			return lookup.Answer{}, fmt.Errorf("the answer does not say who it is from: %v", header)
		}
		return lookup.Answer{Server: server[0], Hit: from[0] == "hit", Value: value.GetValue()}, nil
	}
}
