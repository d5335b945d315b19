package cluster

import "context"

// askTCP connects, sends something if there is something to send, and waits until all that is
// expected has come.
func (k *check) askTCP(ctx context.Context) finding {
	conn, done, err := k.connect(ctx)
	if err != nil {
		return finding{err: err}
	}
	defer done()
	tcp := k.config.TCP
	if len(tcp.Send) > 0 {
		if _, err := conn.Write(tcp.Send); err != nil {
			return finding{err: err}
		}
	}
	var received []byte
	buffer := make([]byte, 4096)
	for !containsInOrder(received, tcp.Receive) {
		if len(received) >= maxCheckBody {
			received = received[len(received)/2:]
		}
		n, err := conn.Read(buffer)
		received = append(received, buffer[:n]...)
		if err != nil && !containsInOrder(received, tcp.Receive) {
			return finding{err: unexpected(err)}
		}
	}
	return finding{}
}
