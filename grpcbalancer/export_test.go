package grpcbalancer

// RouteKey is what gRPC's xDS resolver puts the hash of a call's route under.
func RouteKey() (any, error) { return routeKey() }
