module github.com/maglev-lb/maglev/bench/cilium

go 1.26

require (
	github.com/cilium/cilium v1.20.2
	github.com/maglev-lb/maglev v0.0.0
	github.com/stretchr/testify v1.12.1
)

replace github.com/maglev-lb/maglev => ../..
