// Package stream carries bytes between two hosts on TCP port 6600.
//
// It knows nothing of virtual machines or of Kerberos. It gives
//
//   - a Listener on the migration networks and dial functions,
//   - control connections (messages) that are unusable until the caller has
//     authenticated them: Unauthenticated.Authenticate is the only way to a
//     Control,
//   - data streams (memory, disk) that prove they belong to a Session, whose
//     secret the two ends exchanged on an authenticated control connection,
//   - Relay, which joins a data stream to a local socket.
//
// Everything is TLS 1.3 with self-signed certificates that nobody verifies.
// What makes that safe is the exporter of the TLS connection (RFC 9266), which
// two ends share only when nobody is between them: the caller's authentication
// covers it on control connections, the session's MAC covers it on data
// streams.
//
// # Life signs
//
// A side that has sent nothing for Timing.Ping sends a PING frame. A side that
// waits at its socket and receives nothing, not one byte, for Timing.Silence
// gives the peer up: Read and a blocked Write both end with peer-silent. Two
// consequences are wanted:
//
//   - A Write that is blocked because the peer's host does not take data (its
//     QEMU waits for a disk) is not an error as long as the peer's PINGs
//     arrive. There is no deadline on Write as such.
//   - Silence counts only while this side waits at the socket. While this side's
//     own consumer takes no data, the peer is not judged: its PINGs may be
//     stuck behind data that nobody has read yet. Judgement starts anew with
//     the next wait. So a stream on which neither side's consumer takes data
//     stands still until its owner ends it: Relay does when its context ends.
//
// TCP_USER_TIMEOUT is not used, because Linux lets it end connections whose peer
// advertises a zero window for that long, which is the slow disk again.
//
// # Ends
//
// Each direction of a data stream ends with an EOF frame. A side that has sent
// and received EOF sends DONE and then nothing more; Finish waits for the
// peer's DONE, the proof that all bytes reached the peer's agent (its consumer
// may still hold the last block). A TCP connection that ends
// earlier is an error, never an end of data. A side that fails says why in a
// RESET frame, so that both hosts report the same error.
//
// The byte layouts are in docs/protocol.md.
package stream
