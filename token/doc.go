// Package token issues and verifies login tokens. An app server, which knows who its users are, issues them; a program
// passes its user's token to Login; the backend verifies it with a [Verifier]. There are two kinds.
//
// A token04 ([Issue04]) is what ZIM documents: a few claims, encrypted with the ServerSecret of the app. Use it where the
// other side knows nothing else: for the official SDKs, and for backends that serve them, too. Whoever can verify one can
// issue one. It comes in two forms:
//
//   - AES-GCM, the newer form and what Issue04 makes, can't be altered without the secret.
//   - AES-CBC, the older form, has no integrity at all. Whoever holds such a token can rewrite its first 16 bytes at will, and
//     turn other bytes into noise. A Verifier takes nothing but the exact JSON that an issuer writes, for the user who logs
//     in, and app_id must come first in it, so that nothing else of worth is within reach of the rewriting. (Some old issuers
//     begin with user_id: let them change to GCM.) This leaves a forger to chance, with poor odds; it isn't what a MAC gives.
//     If no issuer needs this form any more, set RejectCBC in [Config].
//
// A JWT ([IssueJWT]) is the better choice for a backend of one's own. With EdDSA, ES256 or RS256 the backend holds a public
// key, and so nobody who breaks into it can issue tokens. The subject is the user and the audience names the app.
//
// Every kind is checked against the same clock rules. A token is valid for 24 days at most. The clocks of issuer and
// verifier may differ by up to a minute.
package token
