module github.com/maglev-lb/maglev

go 1.26

require (
	github.com/cespare/xxhash/v2 v2.3.0
	github.com/dchest/siphash v1.2.3
	github.com/dgryski/go-farm v0.0.0-20240924180020-3414d57e47da
	github.com/stretchr/testify v1.12.1
	github.com/twmb/murmur3 v1.2.2
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
