// Package krb is Drover's Kerberos: tickets, delegation (S4U2Self and
// S4U2Proxy, MS-SFU), and security contexts (RFC 4121) on both sides.
//
// It is the only package that knows the Kerberos library, and none of the
// library's types leave it. The library supplies cryptography, message formats,
// krb5.conf and keytab parsing; everything that decides about trust is here:
//
//   - A verified ticket is kept in its wire form only, so that using it as
//     evidence can never send its decrypted part (Evidence).
//   - Lengths are checked before anything is decrypted, and a panic in a parser
//     becomes a refusal (Host.Accept).
//   - Replays are recognised by the authenticator's ciphertext, the one part that
//     nobody without the session key can change (replayCache).
//   - Name and realm come from the ticket, groups only from the signed PAC.
//   - The service name on the ticket is not authenticated, all names of one
//     account being equal: where the difference matters, Identity.ProxyTarget has
//     it from the PAC.
//   - Forwardable is asked for only when the ticket-granting ticket is.
//   - Referrals to other realms are followed for tickets in the own name only, each
//     reply being checked (ticketFor); in an operator's name nothing leaves the realm.
//
// Only AES encryption types are used or accepted.
package krb
