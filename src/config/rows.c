/* Every option of the configuration, one row each: from here come the reader, the checks, the sample and the manual page. Adding an
 * option is adding a row and the member it fills. */
#include "config/rows.h"
#include "base/limits.h"
#include <stddef.h>
#include <string.h>

const char *const row_sections[SECTION_N] = {"", "listen", "domain", "peer", "identity", "emergency", "hep", "media"};

#define TOP(m) offsetof(struct config, m)
#define LISTEN(m) offsetof(struct config_listen, m)
#define DOMAIN(m) offsetof(struct config_domain, m)
#define PEER(m) offsetof(struct config_peer, m)
#define IDENTITY(m) offsetof(struct config_identity, m)
#define EMERGENCY(m) offsetof(struct config, emergency) + offsetof(struct config_emergency, m)
#define HEP(m) offsetof(struct config, hep) + offsetof(struct config_hep, m)

#define MEDIA(m) offsetof(struct config, media) + offsetof(struct config_media, m)

#define NO false
#define YES true

/* What domains and peers say of media alike. */
#define SIDE(m) offsetof(struct config_media_side, m)
#define MEDIA_SIDE_ROWS(section, at)                                                                                             \
    {ROW_ENUM, (at) + SIDE(mode), "direct|relay|protect|clear-inside",                                                           \
     {section, "media", "one of direct|relay|protect|clear-inside", "direct", NULL, 0, 0, YES, "TR/100 8.4",                     \
      "Where media go: between the phones, through us as they are, through us decrypted and encrypted anew, or in clear on the " \
      "inner side of calls with other domains; the stronger wish of the two sides counts."}},                                    \
    {ROW_LIST, (at) + SIDE(keys), NULL,                                                                                          \
     {section, "media-keys", "list", "dtls, sdes", NULL, 0, 0, YES, "TR/100 8.2",                                                \
      "Key management for media that we protect, the preferred method first; clear alone: for those who know none."}},                                                 \
    {ROW_LIST, (at) + SIDE(suites), NULL,                                                                                        \
     {section, "media-suites", "list", "", NULL, 0, 0, YES, "TR/100 8.1",                                                        \
      "SRTP suites by their names in SDP, the preferred first; empty: AEAD_AES_256_GCM, AEAD_AES_128_GCM, "                      \
      "AES_256_CM_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_80."}},                                                                     \
    {ROW_BOOL, (at) + SIDE(allow_clear), NULL,                                                                                   \
     {section, "allow-clear-media", "yes/no", "no", NULL, 0, 0, YES, "TR/100 8", "Media may go without keys."}},                 \
    {ROW_BOOL, (at) + SIDE(best_effort), NULL,                                                                                   \
     {section, "media-best-effort", "yes/no", "no", NULL, 0, 0, YES, "RFC 8643",                                                 \
      "Keys are offered in the clear profile, so that whoever has none answers in clear; needs allow-clear-media."}},            \
    {ROW_TEXT, (at) + SIDE(sdes_until), NULL,                                                                                    \
     {section, "sdes-until", "text", "", NULL, 0, 0, YES, "TR/100 recommendation 7",                                             \
      "The last day, as 2027-12-31, on which keys may travel in signalling (SDES); empty: no end."}},                            \
    {ROW_U32, (at) + SIDE(sdes_lifetime), NULL,                                                                                  \
     {section, "sdes-lifetime", "number", "0", "power of 2", 0, 48, YES, "RFC 4568 6.1",                                         \
      "What our keys in SDP say of how many packets they are good for, as 31 for 2^31; 0: nothing, as most do."}},               \
    {ROW_BOOL, (at) + SIDE(sdes_mki), NULL,                                                                                      \
     {section, "sdes-mki", "yes/no", "no", NULL, 0, 0, YES, "RFC 4568 6.1",                                                      \
      "Keys in SDP that have an MKI are answered by one that has one, of the same length; some peers insist."}},                 \
    {ROW_U32, (at) + SIDE(sdes_mki_length), NULL,                                                                                \
     {section, "sdes-mki-length", "number", "0", "bytes", 0, 8, YES, "RFC 4568 6.1",                                             \
      "Our keys in SDP have an MKI of so many bytes, which each packet then carries; 0: none."}},                                \
    {ROW_U32, (at) + SIDE(sdes_keys), NULL,                                                                                      \
     {section, "sdes-keys", "number", "1", NULL, 1, LIMIT_SRTP_KEYS, YES, "RFC 4568 6.1",                                        \
      "So many keys in each crypto line of ours, used one after the other; several need sdes-mki-length."}},                     \
    {ROW_BOOL, (at) + SIDE(allow_unencrypted), NULL,                                                                             \
     {section, "allow-unencrypted-media", "yes/no", "no", NULL, 0, 0, YES, "RFC 4568 6.3.2",                                     \
      "It may ask for SRTP or SRTCP without encryption by a session parameter of SDES."}},                                       \
    {ROW_BOOL, (at) + SIDE(allow_unauthenticated), NULL,                                                                         \
     {section, "allow-unauthenticated-media", "yes/no", "no", NULL, 0, 0, YES, "RFC 4568 6.3.3",                                 \
      "It may ask for SRTP without authentication by a session parameter of SDES."}},                                            \
    {ROW_BOOL, (at) + SIDE(allow_sha1), NULL,                                                                                    \
     {section, "allow-sha1-fingerprints", "yes/no", "no", NULL, 0, 0, YES, "RFC 8122 5",                                         \
      "Fingerprints of DTLS-SRTP by SHA-1 alone are enough."}},                                                                  \
    {ROW_BOOL, (at) + SIDE(nat), NULL,                                                                                           \
     {section, "allow-media-nat", "yes/no", "no", NULL, 0, 0, YES, "RFC 7362",                                                   \
      "Its media may come from another address than its signalling says, once, within the first seconds."}},                     \
    {ROW_BOOL, (at) + SIDE(asymmetric), NULL,                                                                                    \
     {section, "media-asymmetric", "yes/no", "no", NULL, 0, 0, YES, "RFC 4961",                                                  \
      "It sends media by other ports than it receives them at: what is for it goes where its description says, and nowhere else."}}, \
    {ROW_BOOL, (at) + SIDE(allow_unseen_forks), NULL,                                                                            \
     {section, "allow-unseen-forks", "yes/no", "no", NULL, 0, 0, YES, "TR/100 8.2.1.3",                                          \
      "Keys in SDP (SDES) stay as they were when a call to it is answered, unless a fork behind it was seen; without it they are " \
      "changed at once by a re-INVITE."}},                                                                                       \
    {ROW_ENUM, (at) + SIDE(srtcp_tag), "80|32|detect",                                                                           \
     {section, "srtcp-tag", "one of 80|32|detect", "80", NULL, 0, 0, YES, "RFC 4568 6.2",                                        \
      "Bits of the SRTCP tag with the suites whose SRTP tag has 32: 80 by the standard, 32 with many peers."}},                  \
    {ROW_ENUM, (at) + SIDE(roc), "keep|reset|probe",                                                                             \
     {section, "roc", "one of keep|reset|probe", "probe", NULL, 0, 0, YES, "RFC 3711 3.3.1",                                     \
      "What its rollover counters do when it takes new keys: go on, begin anew, or whichever its packets show."}},

/* What they ask of the security status alike: enum policy_level and policy_on_attack. */
#define STATUS(m) offsetof(struct config_status, m)
#define STATUS_ROWS(section, at)                                                                                                 \
    {ROW_ENUM, (at) + STATUS(require), "open|protected|secure",                                                                  \
     {section, "require-status", "one of open|protected|secure", "open", NULL, 1, 0, YES, "TR/100 10",                           \
      "The least security status of calls with it, as docs/security-status.md has them; others are refused."}},                  \
    {ROW_ENUM, (at) + STATUS(on_attack), "reject|alarm",                                                                         \
     {section, "on-attack", "one of reject|alarm", "reject", NULL, 0, 0, YES, "TR/100 10",                                       \
      "A call of which something signed is contradicted is refused, or goes on and is shown and logged as attacked."}},

static const struct row top[] = {
    {ROW_PATH, TOP(state_dir), NULL,
     {"", "state-dir", "file", "/var/lib/sallyport", NULL, 0, 0, NO, NULL,
      "Folder for the store, the keys of nonces and tokens, and the control socket; made with mode 0700 if it is not there."}},
    {ROW_PATH, TOP(store_file), NULL,
     {"", "store", "file", "state-dir/sallyport.db", NULL, 0, 0, NO, NULL, "The embedded store of users and registrations."}},
    {ROW_PATH, TOP(control_socket), NULL,
     {"", "control", "file", "state-dir/control", NULL, 0, 0, NO, NULL, "Socket by which `sallyport status` asks the daemon."}},
    {ROW_TEXT, TOP(run_as), NULL,
     {"", "run-as", "text", "", NULL, 0, 0, NO, "TR/100 6.2", "User to become once all addresses are bound; empty: stay."}},
    {ROW_U32, TOP(workers), NULL,
     {"", "workers", "number", "0", NULL, 0, 64, NO, NULL, "Signalling threads; 0 is one a core."}},
    {ROW_U32, TOP(batch_wait_us), NULL,
     {"", "batch-wait", "number", "2000", "microseconds", 0, 5000, NO, NULL,
      "How long a busy worker lets messages gather, so that it wakes up once for several; not under light load. Of several "
      "workers each waits as many times as long, at most 4000."}},
    {ROW_ENUM, TOP(log_level), "debug|info|notice|warn|error",
     {"", "log-level", "one of debug|info|notice|warn|error", "notice", NULL, 0, 0, YES, NULL, "What is logged."}},
    {ROW_TEXT, TOP(server_header), NULL,
     {"", "server-header", "text", "", NULL, 0, 0, YES, "RFC 3261 20.35",
      "Text of the Server header; empty: none, so that nobody learns what runs here."}},
    {ROW_ADDR, TOP(metrics), NULL,
     {"", "metrics", "address", "", NULL, 0, 0, NO, NULL, "Address on which Prometheus may read /metrics; empty: none."}},
    {ROW_TEXT, TOP(dns_server), NULL,
     {"", "dns-server", "text", "", NULL, 0, 0, NO, "RFC 3263 4", "Resolver to use, as address@port; empty: the system's."}},
    {ROW_FILE, TOP(identity_ca), NULL,
     {"", "identity-ca", "file", "", NULL, 0, 0, YES, "RFC 8224 7",
      "Anchors for the certificates that signed identities name (PEM), apart from those of TLS; empty: none can be verified."}},
    {ROW_FILE, TOP(identity_crl), NULL,
     {"", "identity-crl", "file", "", NULL, 0, 0, YES, "RFC 5280 5",
      "CRLs of every CA under these anchors (PEM): a signer whose chain has none in force, or is on one, is not believed; empty: not checked."}},
    {ROW_LIST, TOP(user_certificates), NULL,
     {"", "user-certificates", "list", "", NULL, 0, 0, YES, "RFC 8862 4.1",
      "Certificates (PEM) of users whose phones sign themselves: wss listeners serve them as https://HOST/users/USER@DOMAIN.pem."}},
    {ROW_ENUM, TOP(identity_revocation), "off|soft|hard",
     {"", "identity-revocation", "one of off|soft|hard", "soft", NULL, 0, 0, YES, "RFC 5280 6.3",
      "Whether signers' certificates, and those of their issuers, are revoked: soft does not believe what is known to be, hard also not what is not known, off asks nobody. With identity-crl it is hard."}},
    {ROW_U32, TOP(identity_freshness_s), NULL,
     {"", "identity-freshness", "number", "60", "seconds", 1, 3600, YES, "RFC 8224 4.1",
      "How old, or ahead of our clock, a signed identity may be."}},
    {ROW_U32, TOP(rfc4474_rsa_bits), NULL,
     {"", "rfc4474-key-bits", "number", "2048", "bits", 2048, 4096, YES, "RFC 4474 9",
      "RSA keys of RFC 4474 must have so many, theirs and ours; certificates with less than 2048 are refused whatever they are for."}},
    {ROW_BOOL, TOP(verify_smime), NULL,
     {"", "verify-smime", "yes/no", "yes", NULL, 0, 0, YES, "RFC 3893",
      "Signed bodies (S/MIME) are verified by the anchors of identity-ca, as many as are worth the time; never required, always passed on."}},
    {ROW_FILE, TOP(fetch_ca), NULL,
     {"", "fetch-ca", "file", "", NULL, 0, 0, NO, "RFC 8224 7.2",
      "Anchors for the https servers that certificates are fetched from (PEM); empty: the system's."}},
    {ROW_NETS, TOP(fetch_from), NULL,
     {"", "allow-fetch-from", "list", "", NULL, 0, 0, NO, "RFC 6890",
      "Addresses for special purposes (private, loopback) from which certificates may be fetched, and OCSP responders asked, all the same: one's own."}},
    {ROW_TEXT, TOP(keeper_run_as), NULL,
     {"", "keeper-run-as", "text", "", NULL, 0, 0, NO, "TR/100 6.2",
      "User of the process that keeps identity keys, if started by root; empty: root, without its powers."}},
    {ROW_PATH, TOP(keeper_log), NULL,
     {"", "keeper-log", "file", "", NULL, 0, 0, NO, "TR/100 6.7",
      "Where that process writes what it was asked to sign, a line of JSON each; empty: standard error."}},
    {ROW_ENUM, TOP(tls_keys), "daemon|keeper",
     {"", "tls-keys", "one of daemon|keeper", "daemon", NULL, 0, 0, YES, "TR/100 6.2",
      "Who has the private keys of domains and peers: the daemon itself, or the process that keeps identity keys, which signs handshakes for it."}},
    {ROW_U32, TOP(tls_keys_rate), NULL,
     {"", "tls-keys-rate", "number", "5000", "signatures a second", 0, 1000000, YES, "TR/100 6.2",
      "More with one such key are refused by the keeper; 0: no limit."}},
    {ROW_ENUM, TOP(seccomp), "off|log|enforce",
     {"", "seccomp", "one of off|log|enforce", "enforce", NULL, 0, 0, NO, "TR/100 6.2",
      "What happens when the daemon makes a system call that it has no use for: nothing, a line in the kernel's audit log, or that and a refusal."}},
    {ROW_U32, TOP(expiry_warn_days), NULL,
     {"", "expiry-warning", "number", "30", "days", 1, 3650, YES, "TR/100 9", "Warn so long before a certificate ends."}},
    {ROW_U32, TOP(max_transactions), NULL,
     {"", "max-transactions", "number", "500000", NULL, 100, 1000000, NO, "RFC 3261 21.5.4",
      "Transactions one worker keeps; when half of them wait for an answer, new requests get 503 with Retry-After."}},
    {ROW_U32, TOP(max_calls), NULL,
     {"", "max-calls", "number", "0", NULL, 0, 10000000, YES, NULL, "Calls of one worker above which new ones get 503; 0: no limit."}},
    {ROW_U32, TOP(overload_retry_s), NULL,
     {"", "overload-retry", "number", "5", "seconds", 1, 3600, YES, "RFC 3261 20.33", "Retry-After of such a 503."}},
    {ROW_U32, TOP(guess_limit), NULL,
     {"", "guess-limit", "number", "5", NULL, 1, 1000, NO, "TR/100 6.2",
      "Wrong passwords of one address for one user before its answers are not looked at for a while; the user is not locked out."}},
    {ROW_U32, TOP(timer_c_s), NULL,
     {"", "ring-limit", "number", "185", "seconds", 181, 3600, YES, "RFC 3261 16.6", "Timer C: how long a call may ring."}},
    {ROW_U32, TOP(call_max_s), NULL,
     {"", "call-record-limit", "number", "43200", "seconds", 60, 604800, YES, "RFC 4028 10",
      "After so long a call without session timer is no longer listed."}},
};

static const struct row listen_rows[] = {
    {ROW_TEXT, LISTEN(advertise), NULL,
     {"listen", "advertise", "text", "", NULL, 0, 0, YES, "RFC 3261 18.1.1",
      "Host, or host:port, by which others reach this listener; needed when it listens on all addresses."}},
    {ROW_ENUM, LISTEN(client_cert), "none|ask|require",
     {"listen", "client-certificate", "one of none|ask|require", "ask", NULL, 0, 0, YES, "TR/100 7.2.1",
      "Whether whoever connects must show a certificate. Peers must, phones have none: `ask` serves both."}},
    {ROW_FILE, LISTEN(client_ca), NULL,
     {"listen", "client-ca", "file", "", NULL, 0, 0, YES, "TR/100 9", "Anchors for the certificates of those who connect (PEM). Empty: the ca of all peers, on tls listeners."}},
    {ROW_ENUM, LISTEN(client_revocation), "off|soft|hard",
     {"listen", "client-revocation", "one of off|soft|hard", "soft", NULL, 0, 0, YES, "RFC 5280 6.3",
      "Revoked certificates of those who connect: soft refuses what is known to be revoked, hard also what is not known, off asks nobody."}},
    {ROW_FILE, LISTEN(client_crl), NULL,
     {"listen", "client-crl", "file", "", NULL, 0, 0, YES, "RFC 5280 5", "CRLs of the CAs under client-ca (PEM, or one in DER)."}},
    {ROW_ENUM, LISTEN(tls_min), "1.2|1.3",
     {"listen", "tls-min", "one of 1.2|1.3", "1.2", NULL, 12, 0, YES, "RFC 9325 3.1.1", "The oldest TLS version spoken."}},
    {ROW_TEXT, LISTEN(ciphers), NULL,
     {"listen", "ciphers", "text", "", NULL, 0, 0, YES, "RFC 9325 4.2",
      "Suites for TLS 1.2 in OpenSSL's notation; empty: forward secret ones with AEAD."}},
    {ROW_BOOL, LISTEN(allow_clear), NULL,
     {"listen", "allow-clear", "yes/no", "no", NULL, 0, 0, YES, "TR/100 7.2",
      "Needed for udp, tcp and ws: signalling on this listener can be read and changed on its way."}},
    {ROW_U32, LISTEN(max_conns_source), NULL,
     {"listen", "max-connections-per-source", "number", "1000", NULL, 1, 1000000, YES, "TR/100 6.2",
      "Connections that one address may hold; the next is closed at once."}},
    {ROW_U64, LISTEN(idle_s), NULL,
     {"listen", "idle-timeout", "number", "900", "seconds", 10, 86400, YES, NULL,
      "A connection without registration is closed when nothing came for so long."}},
    {ROW_TEXT, LISTEN(ws_origins), NULL,
     {"listen", "origins", "text", "", NULL, 0, 0, YES, "RFC 6455 10.2",
      "Web pages (Origin values, comma separated) whose browsers may connect; empty: any."}},
};

static const struct row domain_rows[] = {
    {ROW_TEXT, DOMAIN(realm), NULL,
     {"domain", "realm", "text", "the domain", NULL, 0, 0, YES, "RFC 3261 22.1",
      "Digest realm; passwords are stored hashed with it, so changing it means setting them anew."}},
    {ROW_LIST, DOMAIN(aliases), NULL,
     {"domain", "aliases", "list", "", NULL, 0, 0, YES, "RFC 3261 16.3", "Other host names and addresses that mean this domain."}},
    {ROW_FILE, DOMAIN(certificate), NULL,
     {"domain", "certificate", "file", "", NULL, 0, 0, YES, "RFC 5922 7.1", "Its certificate, then the intermediates (PEM)."}},
    {ROW_PATH, DOMAIN(key), NULL,
     {"domain", "key", "file", "", NULL, 0, 0, YES, "TR/100 9",
      "The private key of the certificate (PEM); with tls-keys = keeper one that the daemon's user need not be able to read, or a pkcs11: URI as in identity."}},
    {ROW_TEXT, DOMAIN(unknown_users), NULL,
     {"domain", "unknown-users", "text", "", NULL, 0, 0, YES, "RFC 3261 16.5",
      "Peer that gets requests for users this domain does not have; empty: 404."}},
    {ROW_BOOL, DOMAIN(allow_md5), NULL,
     {"domain", "allow-md5", "yes/no", "no", NULL, 0, 0, YES, "RFC 8760 3",
      "Users marked allow-md5 are challenged with MD5, for phones that know nothing else."}},
    {ROW_BOOL, DOMAIN(allow_clear_digest), NULL,
     {"domain", "allow-clear-digest", "yes/no", "no", NULL, 0, 0, YES, "TR/100 7.2.3",
      "Passwords are proven over clear UDP, TCP or WS, where the proof can be attacked offline."}},
    {ROW_BOOL, DOMAIN(allow_flow_auth), NULL,
     {"domain", "allow-flow-auth", "yes/no", "no", NULL, 0, 0, YES, "TR/100 7.2.3",
      "A TLS connection on which a user registered counts as proof for that user's further requests."}},
    {ROW_BOOL, DOMAIN(allow_weak_passwords), NULL,
     {"domain", "allow-weak-passwords", "yes/no", "no", NULL, 0, 0, YES, "TR/100 7.1", "Weak passwords may be set."}},
    {ROW_U32, DOMAIN(nonce_lifetime_s), NULL,
     {"domain", "nonce-lifetime", "number", "300", "seconds", 10, 86400, YES, "RFC 7616 5.4", "How long a challenge can be answered."}},
    {ROW_U32, DOMAIN(expires_min_s), NULL,
     {"domain", "expires-min", "number", "60", "seconds", 1, 86400, YES, "RFC 3261 10.3", "Shorter registrations get 423."}},
    {ROW_U32, DOMAIN(expires_max_s), NULL,
     {"domain", "expires-max", "number", "7200", "seconds", 60, 604800, YES, "RFC 3261 10.3", "Longer ones are shortened to this."}},
    {ROW_U32, DOMAIN(expires_default_s), NULL,
     {"domain", "expires-default", "number", "3600", "seconds", 60, 604800, YES, "RFC 3261 10.3", "For phones that do not ask."}},
    {ROW_U32, DOMAIN(max_contacts), NULL,
     {"domain", "max-contacts", "number", "10", NULL, 1, 100, YES, "TR/100 6.2", "Phones that one user may register at once."}},
    {ROW_U32, DOMAIN(flow_timer_s), NULL,
     {"domain", "flow-timer", "number", "120", "seconds", 0, 3600, YES, "RFC 5626 4.4",
      "Keep-alive interval asked of phones that use outbound; 0: none."}},
    {ROW_BOOL, DOMAIN(service_route), NULL,
     {"domain", "service-route", "yes/no", "no", NULL, 0, 0, YES, "RFC 3608 6.3",
      "Phones are told when they register to send their requests through this server."}},
    {ROW_TEXT, DOMAIN(dial.country), NULL,
     {"domain", "country-code", "text", "", NULL, 0, 0, YES, "RFC 8224 8.3", "Country code that national numbers are completed with, as \"49\"."}},
    {ROW_TEXT, DOMAIN(dial.area), NULL,
     {"domain", "area-code", "text", "", NULL, 0, 0, YES, "RFC 8224 8.3", "Area code that local numbers are completed with."}},
    {ROW_TEXT, DOMAIN(dial.national_prefix), NULL,
     {"domain", "national-prefix", "text", "", NULL, 0, 0, YES, "RFC 8224 8.3", "What is dialled before a national number, as \"0\"."}},
    {ROW_TEXT, DOMAIN(dial.international_prefix), NULL,
     {"domain", "international-prefix", "text", "", NULL, 0, 0, YES, "RFC 8224 8.3", "What is dialled before a country code, as \"00\"."}},
    {ROW_BOOL, DOMAIN(dial.bare_digits), NULL,
     {"domain", "digits-are-numbers", "yes/no", "no", NULL, 0, 0, YES, "RFC 8224 8.1",
      "User parts of digits alone are telephone numbers, without user=phone."}},
    {ROW_LIST, DOMAIN(accept_callers), NULL,
     {"domain", "accept-callers", "list", "", NULL, 0, 0, YES, "TR/100 7.5.3",
      "From outside its users are reached only by these: domains, addresses (\"sip:john@example1.com\"), beginnings of numbers (\"+4930\"); only "
      "who is verified by a signature is taken for one of them. Empty: by anybody."}},
    {ROW_LIST, DOMAIN(refuse_callers), NULL,
     {"domain", "refuse-callers", "list", "", NULL, 0, 0, YES, "TR/100 7.5.3", "Who of outside does not reach them, whether verified or not; as in accept-callers."}},
    {ROW_BOOL, DOMAIN(allow_forwarding), NULL,
     {"domain", "allow-forwarding", "yes/no", "no", NULL, 0, 0, YES, "TR/100 6.3",
      "Its users may forward (3xx) what foreign callers send them to other domains and numbers, as if they had called there themselves."}},
    {ROW_BOOL, DOMAIN(sips_only), NULL,
     {"domain", "sips-only", "yes/no", "no", NULL, 0, 0, YES, "RFC 5630 5.2", "Registrations are taken over TLS only."}},
    {ROW_BOOL, DOMAIN(status_header), NULL,
     {"domain", "status-header", "yes/no", "no", NULL, 0, 0, YES, "TR/100 10",
      "Its phones are told how secure a call is, before they answer and when they are answered: X-Sallyport-Status."}},
    {ROW_BOOL, DOMAIN(status_call_info), NULL,
     {"domain", "status-call-info", "yes/no", "no", NULL, 0, 0, YES, "TR/100 10",
      "The same by the Call-Info that phones of Cisco's show as a lock."}},
    {ROW_BOOL, DOMAIN(status_prefix), NULL,
     {"domain", "status-prefix", "yes/no", "no", NULL, 0, 0, YES, "TR/100 10",
      "The least that a call will be stands before its caller's name, as in \"[secure] Bob\"; in names from elsewhere square brackets become round ones."}},
    STATUS_ROWS("domain", offsetof(struct config_domain, status))
    MEDIA_SIDE_ROWS("domain", offsetof(struct config_domain, media))
};

static const struct row peer_rows[] = {
    {ROW_ENUM, PEER(kind), "peering|subscription|gateway|site|server|ims",
     {"peer", "kind", "one of peering|subscription|gateway|site|server", "peering", NULL, 0, 0, YES, "TR/100 7.6",
      "What it is: another enterprise or carrier by mutual TLS, a carrier we subscribe to, a PSTN gateway, a site or a server of our own. "
      "ims, a carrier's IMS that knows us by AKA and IPsec, is for later and refused: subscription is by password, peering by certificate."}},
    {ROW_LIST, PEER(domains), NULL,
     {"peer", "domains", "list", "", NULL, 0, 0, YES, "RFC 3261 16.5", "Domains whose requests go to it; \"*\" stands for all others."}},
    {ROW_URI, PEER(next_hop), NULL,
     {"peer", "next-hop", "text", "", NULL, 0, 0, YES, "RFC 3263 4", "Where it is, as a sip or sips URI; empty: what DNS says of the domain."}},
    {ROW_URI, PEER(next_hop_secure), NULL,
     {"peer", "next-hop-secure", "text", "", NULL, 0, 0, YES, "TR/100 7.3", "Used instead for requests that came by TLS or are for sips."}},
    {ROW_NETS, PEER(sources), NULL,
     {"peer", "allow-sources", "list", "", NULL, 0, 0, YES, "TR/100 7.2.2",
      "Requests from these addresses are this peer's without any proof: for hops that are protected otherwise."}},
    {ROW_LIST, PEER(certificate_names), NULL,
     {"peer", "certificate-names", "list", "its domains", NULL, 0, 0, YES, "RFC 5922 7.4", "One of these must be in its certificate."}},
    {ROW_LIST, PEER(identities), NULL,
     {"peer", "identities", "list", "", NULL, 0, 0, YES, "TR/100 7.5.3",
      "Domains it may speak for in From, and no tel: numbers then; empty: any but ours (sites, gateways and servers: any)."}},
    {ROW_FILE, PEER(ca), NULL,
     {"peer", "ca", "file", "", NULL, 0, 0, YES, "TR/100 9", "Anchors for its certificate (PEM), whoever connects: no other CA vouches for its names. Empty: client-ca where it connects to us, the system's where we do."}},
    {ROW_FILE, PEER(certificate), NULL,
     {"peer", "certificate", "file", "", NULL, 0, 0, YES, "TR/100 7.2.1", "What we show it; empty: our first domain's."}},
    {ROW_PATH, PEER(key), NULL, {"peer", "key", "file", "", NULL, 0, 0, YES, "TR/100 9", "The key of that certificate, as a domain's."}},
    {ROW_ENUM, PEER(revocation), "off|soft|hard",
     {"peer", "revocation", "one of off|soft|hard", "soft", NULL, 0, 0, YES, "RFC 5280 6.3",
      "Its certificate, and those of its issuers: soft refuses what is known to be revoked, hard also what is not known, off asks nobody."}},
    {ROW_FILE, PEER(crl), NULL,
     {"peer", "crl", "file", "", NULL, 0, 0, YES, "RFC 5280 5", "CRLs of the CAs under its anchors (PEM, or one in DER)."}},
    {ROW_ENUM, PEER(client_usage), "any-tls|required|ignore",
     {"peer", "client-usage", "one of any-tls|required|ignore", "any-tls", NULL, 0, 0, YES, "RFC 5924 5",
      "What its certificate must be made for when it connects to us: clients or servers, clients (or SIP domains) only, or anything."}},
    {ROW_ENUM, PEER(tls_min), "1.2|1.3",
     {"peer", "tls-min", "one of 1.2|1.3", "1.2", NULL, 12, 0, YES, "TR/100 7.3", "The oldest TLS version on this hop."}},
    {ROW_TEXT, PEER(ciphers), NULL,
     {"peer", "ciphers", "text", "", NULL, 0, 0, YES, "TR/100 7.3", "Suites for TLS 1.2 on this hop; empty: forward secret ones with AEAD."}},
    {ROW_BOOL, PEER(allow_clear), NULL,
     {"peer", "allow-clear", "yes/no", "no", NULL, 0, 0, YES, "TR/100 7.2", "Signalling with it may go over UDP or TCP."}},
    {ROW_BOOL, PEER(allow_unverified), NULL,
     {"peer", "allow-unverified", "yes/no", "no", NULL, 0, 0, YES, "RFC 5922 7.3", "Its certificate is not checked."}},
    {ROW_BOOL, PEER(allow_last_hop_exception), NULL,
     {"peer", "allow-last-hop-exception", "yes/no", "no", NULL, 0, 0, YES, "RFC 5630 3.1.3",
      "A sips request may leave to it in clear, as RFC 3261 once let the last hop do."}},
    {ROW_BOOL, PEER(allow_relay), NULL,
     {"peer", "allow-relay", "yes/no", "no", NULL, 0, 0, YES, "TR/100 6.3", "It may reach other domains through us."}},
    {ROW_ENUM, PEER(verify_identity), "prefer|require|tolerate|strip",
     {"peer", "verify-identity", "one of prefer|require|tolerate|strip", "prefer", NULL, 0, 0, YES, "RFC 8224 6.2",
      "Identity of its requests: refused where contradicted, refused unless valid, only reported, or taken off unseen."}},
    {ROW_ENUM, PEER(sign_identity), "base|shaken|none|rfc4474|both",
     {"peer", "sign-identity", "one of base|shaken|none|rfc4474|both", "base", NULL, 0, 0, YES, "RFC 8224 6.1",
      "How requests of our users are signed for it: by the domain, as a carrier's SHAKEN wants it, not at all, as RFC 4474 has it "
      "instead, or as RFC 4474 has it besides; the last two need allow-rfc4474."}},
    {ROW_BOOL, PEER(allow_rfc4474), NULL,
     {"peer", "allow-rfc4474", "yes/no", "no", NULL, 0, 0, YES, "RFC 4474 6",
      "Signatures of RFC 4474 (RSA with SHA-1 over the whole request) count in its requests where there is none of RFC 8224, and may be made for it."}},
    {ROW_BOOL, PEER(sign_diversions), NULL,
     {"peer", "sign-diversions", "yes/no", "yes", NULL, 0, 0, YES, "RFC 8946 4.1",
      "Signed requests of foreign callers that a user of ours forwards to it get our signature of that: \"div\"; the original one stays."}},
    {ROW_BOOL, PEER(require_diversion_proof), NULL,
     {"peer", "require-diversion-proof", "yes/no", "no", NULL, 0, 0, YES, "RFC 8946 4.2",
      "Its requests that are signed for somebody else than they go to are refused unless whoever diverted them has signed that."}},
    {ROW_ENUM, PEER(verify_answers), "prefer|require|tolerate|strip",
     {"peer", "verify-answers", "one of prefer|require|tolerate|strip", "prefer", NULL, 0, 0, YES, "RFC 9970",
      "Identity of its answers, who was reached: the call is ended where contradicted, ended unless valid, only reported, or taken off unseen."}},
    {ROW_BOOL, PEER(sign_answers), NULL,
     {"peer", "sign-answers", "yes/no", "yes", NULL, 0, 0, YES, "RFC 9970",
      "Answers of our users to its calls are signed, too, unless sign-identity is none; without, no Identity leaves in responses to it."}},
    {ROW_BOOL, PEER(allow_provider_identity), NULL,
     {"peer", "allow-provider-identity", "yes/no", "no", NULL, 0, 0, YES, "RFC 8226 9",
      "A certificate for a service provider's code is authority enough for the numbers of its callers (SHAKEN)."}},
    {ROW_BOOL, PEER(rewrites_embedded), NULL,
     {"peer", "rewrites-addresses", "yes/no", "no", NULL, 0, 0, YES, "TR/100 7.5.3",
      "It puts its own domain into addresses of others: john_example1.com@ITS-DOMAIN is shown and verified as john@example1.com, via its domain."}},
    {ROW_BOOL, PEER(rewrites_numbers), NULL,
     {"peer", "rewrites-numbers", "yes/no", "no", NULL, 0, 0, YES, "TR/100 7.5.3",
      "Numbers at one of its domains are of somewhere else: they are shown as numbers, via its domain."}},
    {ROW_BOOL, PEER(allow_asserted_identity), NULL,
     {"peer", "allow-asserted-identity", "yes/no", "no", NULL, 0, 0, YES, "RFC 3325 5",
      "Its P-Asserted-Identity is believed, of users that it may speak for, and passed on to phones (of a site, server or gateway "
      "Remote-Party-ID as well); from anybody else it is taken off."}},
    {ROW_BOOL, PEER(assert_identity), NULL,
     {"peer", "assert-identity", "yes/no", "no", NULL, 0, 0, YES, "RFC 3325 5",
      "It belongs to our trust domain: it gets a P-Asserted-Identity with the authenticated user, of hidden callers too."}},
    {ROW_LIST, PEER(remove_from), NULL,
     {"peer", "remove-headers-from", "list", "", NULL, 0, 0, YES, "TR/100 7.6",
      "Names of headers that are taken off of its requests and responses, as \"Alert-Info\"; not what SIP or an option of its own needs."}},
    {ROW_LIST, PEER(remove_to), NULL,
     {"peer", "remove-headers-to", "list", "", NULL, 0, 0, YES, "TR/100 7.6",
      "The same of what goes to it, as \"User-Agent\"."}},
    {ROW_LIST, PEER(set_to), NULL,
     {"peer", "set-headers-to", "list", "", NULL, 0, 0, YES, "TR/100 7.6",
      "Headers that requests to it get, as \"X-Trunk: 7\", in place of what they had under these names; none that SIP, an option or a signature has."}},
    {ROW_U32, PEER(max_calls), NULL,
     {"peer", "max-calls", "number", "0", NULL, 0, 1000000, YES, "TR/100 6.2", "Calls under way with it at once, from and to it together; 0: no limit."}},
    {ROW_U32, PEER(max_requests), NULL,
     {"peer", "max-requests", "number", "0", "requests a second", 0, 1000000, YES, "TR/100 6.2",
      "New requests that are taken from it, a second's worth at once at most; more get 503, but calls for help and what belongs to a dialog. 0: no limit."}},
    {ROW_ENUM, PEER(protected_by), "no|ipsec|vpn|lock|802.1x",
     {"peer", "protected-by", "one of no|ipsec|vpn|lock|802.1x", "no", NULL, 0, 0, YES, "TR/100 7.2.2",
      "What protects the hop to it below SIP, as somebody says: signalling with it may then go in clear until the date."}},
    {ROW_TEXT, PEER(protected_until), NULL,
     {"peer", "protected-until", "text", "", NULL, 0, 0, YES, "TR/100 7.2.2", "The last day, as 2027-12-31, of which that is said."}},
    {ROW_TEXT, PEER(protected_says), NULL, {"peer", "protected-says", "text", "", NULL, 0, 0, YES, "TR/100 7.2.2", "Who says so."}},
    {ROW_ENUM, PEER(hops_beyond), "unknown|agreed",
     {"peer", "hops-beyond", "one of unknown|agreed", "unknown", NULL, 0, 0, YES, "TR/100 7.3",
      "Whether it has been agreed with it that all hops of the signalling behind it are encrypted: then the security status says so, whatever Via shows of them."}},
    {ROW_TEXT, PEER(private_network), NULL,
     {"peer", "private-network", "text", "", NULL, 0, 0, YES, "RFC 7316 4",
      "Domain of the private network that it carries traffic of: requests of our users are marked so for it, and its own mark is believed."}},
    {ROW_ENUM, PEER(carries), "any|private|public",
     {"peer", "carries", "one of any|private|public", "any", NULL, 0, 0, YES, "TR/100 recommendation 1",
      "What is sent to it: anything, requests of our users and of its private network only, or none of a private network."}},
    {ROW_ENUM, PEER(private.require), "same|open|protected|secure",
     {"peer", "private-require-status", "one of same|open|protected|secure", "same", NULL, 0, 0, YES, "TR/100 recommendation 1",
      "The least security status of calls of its private network; same: require-status."}},
    {ROW_ENUM, PEER(private.on_attack), "same|reject|alarm",
     {"peer", "private-on-attack", "one of same|reject|alarm", "same", NULL, 0, 0, YES, "TR/100 recommendation 1", "on-attack for calls of its private network."}},
    {ROW_ENUM, PEER(private.verify), "same|prefer|require|tolerate|strip",
     {"peer", "private-verify-identity", "one of same|prefer|require|tolerate|strip", "same", NULL, 0, 0, YES, "TR/100 recommendation 1",
      "verify-identity for requests of its private network."}},
    {ROW_ENUM, PEER(private.sign), "same|base|shaken|none|rfc4474|both",
     {"peer", "private-sign-identity", "one of same|base|shaken|none|rfc4474|both", "same", NULL, 0, 0, YES, "TR/100 recommendation 1",
      "sign-identity for requests of its private network."}},
    {ROW_TEXT, PEER(trunk_user), NULL,
     {"peer", "user", "text", "", NULL, 0, 0, YES, "TR/100 7.6", "With kind = subscription: the user that we register as, and answer challenges as."}},
    {ROW_FILE, PEER(password_file), NULL,
     {"peer", "password-file", "file", "", NULL, 0, 0, YES, "TR/100 7.1", "Its password, in the first line of a file that others cannot read."}},
    {ROW_TEXT, PEER(registrar), NULL,
     {"peer", "registrar", "text", "", NULL, 0, 0, YES, "RFC 3261 10.2", "The domain that we register with; empty: the first of its domains."}},
    {ROW_TEXT, PEER(auth_realm), NULL,
     {"peer", "auth-realm", "text", "", NULL, 0, 0, YES, "RFC 3261 22.1",
      "The realm of its challenges, the only one that the password is used for; empty: the domain that we register with."}},
    {ROW_U32, PEER(register_expires_s), NULL,
     {"peer", "register-expires", "number", "3600", "seconds", 60, 604800, YES, "RFC 3261 10.2.1", "How long a registration is asked for; it is refreshed after three quarters."}},
    {ROW_TEXT, PEER(from_user), NULL,
     {"peer", "from-user", "text", "", NULL, 0, 0, YES, "TR/100 7.6",
      "From of our users' requests to the carrier, and P-Asserted-Identity with assert-identity, is their number at its domain, or this, as "
      "\"+49301230\", for who has none; empty: From stays."}},
    {ROW_BOOL, PEER(bulk_numbers), NULL,
     {"peer", "bulk-numbers", "yes/no", "no", NULL, 0, 0, YES, "RFC 6140 5.1", "One registration for all numbers of the account."}},
    {ROW_BOOL, PEER(allow_md5), NULL,
     {"peer", "allow-md5", "yes/no", "no", NULL, 0, 0, YES, "RFC 8760 3", "Challenges of a carrier that knows nothing better than MD5 are answered."}},
    {ROW_TEXT, PEER(account), NULL,
     {"peer", "account", "text", "", NULL, 0, 0, YES, "RFC 6140 5.2",
      "With kind = subscription: the user of ours, as \"trunk-7@carrier.example\", that an enterprise registers and answers challenges as; "
      "we are its carrier, and `numbers` are its own."}},
    {ROW_ENUM, PEER(foreign_callers), "refuse|replace",
     {"peer", "foreign-callers", "one of refuse|replace", "refuse", NULL, 0, 0, YES, "TR/100 7.5.3",
      "With account: its callers that show none of its numbers are refused, or go on with main-number as what we assert of them."}},
    {ROW_TEXT, PEER(main_number), NULL,
     {"peer", "main-number", "text", "", NULL, 0, 0, YES, "RFC 3325 5", "With account: the number that stands for the enterprise, as \"+49301230\"."}},
    {ROW_LIST, PEER(numbers), NULL,
     {"peer", "numbers", "list", "", NULL, 0, 0, YES, "TR/100 7.6",
      "Beginnings of telephone numbers that go to it, of our users' calls: \"+4930\" of numbers with country code, \"00\" as "
      "dialled; the longest that fits counts."}},
    {ROW_U32, PEER(priority), NULL,
     {"peer", "priority", "number", "10", NULL, 0, 65535, YES, "RFC 2782",
      "Of several peers for one destination the lowest is tried first; the next when it does not answer, or with 408, 430 or 503."}},
    {ROW_U32, PEER(weight), NULL,
     {"peer", "weight", "number", "10", NULL, 0, 65535, YES, "RFC 2782", "Its share among those of the same priority."}},
    {ROW_U32, PEER(check_interval_s), NULL,
     {"peer", "check-interval", "number", "0", "seconds", 0, 86400, YES, "RFC 3261 11",
      "It is asked so often by OPTIONS whether it is there, and tried last while it is not; 0: never."}},
    STATUS_ROWS("peer", offsetof(struct config_peer, status))
    MEDIA_SIDE_ROWS("peer", offsetof(struct config_peer, media))
};

static const struct row identity_rows[] = {
    {ROW_FILE, IDENTITY(certificate), NULL,
     {"identity", "certificate", "file", "", NULL, 0, 0, YES, "RFC 8224 7", "The certificate that says for whom it may sign, then its issuers (PEM)."}},
    {ROW_PATH, IDENTITY(key), NULL,
     {"identity", "key", "file", "", NULL, 0, 0, YES, "RFC 8224 6.1",
      "Its private key: a PEM file that the daemon's user need not be able to read, or a pkcs11: URI (RFC 7512) with module-path and pin-source."}},
    {ROW_TEXT, IDENTITY(url), NULL,
     {"identity", "url", "text", "", NULL, 0, 0, YES, "RFC 8225 4.3", "Where others fetch the certificate, https."}},
    {ROW_FILE, IDENTITY(rfc4474_certificate), NULL,
     {"identity", "rfc4474-certificate", "file", "", NULL, 0, 0, YES, "RFC 4474 5",
      "A certificate of an RSA key with the domain's name, then its issuers (PEM), for peers with sign-identity = rfc4474 or both."}},
    {ROW_PATH, IDENTITY(rfc4474_key), NULL,
     {"identity", "rfc4474-key", "file", "", NULL, 0, 0, YES, "RFC 4474 5", "Its private key, kept as the other one is."}},
    {ROW_TEXT, IDENTITY(rfc4474_url), NULL,
     {"identity", "rfc4474-url", "text", "", NULL, 0, 0, YES, "RFC 4474 9", "Where others fetch that certificate, https; it is DER, and alone (RFC 2585)."}},
    {ROW_LIST, IDENTITY(numbers), NULL,
     {"identity", "numbers", "list", "", NULL, 0, 0, YES, "RFC 8224 8.3",
      "Beginnings of telephone numbers, digits with country code, that it may sign for besides those in the certificate."}},
    {ROW_U32, IDENTITY(rate), NULL,
     {"identity", "rate", "number", "1000", "signatures a second", 1, 1000000, YES, "TR/100 6.2", "More are refused by the keeper."}},
    {ROW_BOOL, IDENTITY(allow_any_number), NULL,
     {"identity", "allow-any-number", "yes/no", "no", NULL, 0, 0, YES, "RFC 8588 5",
      "The service provider code in the certificate lets it sign for any number."}},
};

static const struct row emergency_rows[] = {
    {ROW_TEXT, EMERGENCY(peer), NULL,
     {"emergency", "peer", "text", "", NULL, 0, 0, YES, "RFC 6881 SP-31", "Peer that takes calls to urn:service:sos; nothing stops them."}},
    {ROW_LIST, EMERGENCY(urns), NULL,
     {"emergency", "numbers", "list", "", NULL, 0, 0, YES, "RFC 6881 ED-3", "Numbers and URIs that mean the same, as \"112\"."}},
};

static const struct row hep_rows[] = {
    {ROW_BOOL, HEP(allow_mirror), NULL,
     {"hep", "allow-mirror", "yes/no", "no", NULL, 0, 0, NO, "TR/100 6.7", "Copy every message, those under TLS too, to the collector."}},
    {ROW_ADDR, HEP(collector), NULL, {"hep", "collector", "address", "", NULL, 0, 0, NO, NULL, "Where it listens (UDP, HEP version 3)."}},
    {ROW_U32, HEP(capture_id), NULL, {"hep", "capture-id", "number", "1", NULL, 0, 2147483647, NO, NULL, "Number of this node."}},
    {ROW_TEXT, HEP(password), NULL, {"hep", "password", "text", "", NULL, 0, 0, NO, NULL, "Shared with the collector."}},
    {ROW_BOOL, HEP(allow_secrets), NULL,
     {"hep", "allow-secrets", "yes/no", "no", NULL, 0, 0, NO, "TR/100 7.1", "Leave keys, credentials and bodies in the copies."}},
};

static const struct row media_rows[] = {
    {ROW_LIST, MEDIA(address), NULL,
     {"media", "address", "list", "", NULL, 0, 0, NO, "RFC 4961",
      "Local addresses for media through us, as \"192.0.2.1\" or \"10.0.0.1 advertise 192.0.2.1\"; empty: none goes through us."}},
    {ROW_TEXT, MEDIA(ports), NULL,
     {"media", "ports", "text", "30000-39999", NULL, 0, 0, NO, "RFC 3550 11", "UDP ports for media: RTP even, RTCP the next."}},
    {ROW_U32, MEDIA(workers), NULL,
     {"media", "workers", "number", "0", NULL, 0, 64, NO, NULL, "Media threads; 0 is one a core."}},
    {ROW_U32, MEDIA(wait_us), NULL,
     {"media", "wait", "number", "850", "microseconds", 0, 5000, NO, NULL,
      "How long a packet may be held up on a busy media worker, so that it wakes up once for several; 850 keeps under 1 ms."}},
    {ROW_U32, MEDIA(silence_s), NULL,
     {"media", "silence-limit", "number", "120", "seconds", 0, 86400, NO, "TR/100 6.2",
      "A call through us is ended when neither side has sent media for so long, or a browser's consent has been lost for a minute; 0: never."}},
    {ROW_U32, MEDIA(one_sided_s), NULL,
     {"media", "one-sided-limit", "number", "900", "seconds", 0, 86400, NO, "TR/100 6.2",
      "... when one side that should send has sent neither media nor RTCP for so long; 0, or no silence-limit: never."}},
    {ROW_U32, MEDIA(audio_packets), NULL,
     {"media", "audio-packets", "number", "500", "per second", 0, 65535, NO, "TR/100 8.4",
      "What a side may send of sound, text or fax through us; packets above that are dropped. 0: no limit."}},
    {ROW_U32, MEDIA(audio_kbit), NULL,
     {"media", "audio-rate", "number", "2000", "kbit/s", 0, 10000000, NO, "TR/100 8.4",
      "... in bits; where the other side's description says less (b=), twice that counts. 0: no limit but that."}},
    {ROW_U32, MEDIA(video_packets), NULL,
     {"media", "video-packets", "number", "5000", "per second", 0, 65535, NO, "TR/100 8.4",
      "As audio-packets, of pictures and everything else."}},
    {ROW_U32, MEDIA(video_kbit), NULL,
     {"media", "video-rate", "number", "30000", "kbit/s", 0, 10000000, NO, "TR/100 8.4",
      "As audio-rate, of pictures and everything else."}},
};

/* Values that weaken, of options that do not begin with allow-. */
bool row_is_weak(const struct row *row, int value)
{
    static const struct {
        const char *name;
        int value;
    } weak[] = {{"revocation", 0}, {"client-revocation", 0}, {"client-usage", 2}, {"on-attack", 1}, {"private-on-attack", 2}, {"protected-by", 1}, {"protected-by", 2}, {"protected-by", 3}, {"protected-by", 4}, {"hops-beyond", 1}};
    size_t i;

    for (i = 0; row->kind == ROW_ENUM && i < ARRAY_LEN(weak); i++)
        if (strcmp(row->doc.name, weak[i].name) == 0 && value == weak[i].value)
            return true;
    return false;
}

const struct row *rows_of(enum row_section s, size_t *ret_n)
{
    static const struct {
        const struct row *v;
        size_t n;
    } all[SECTION_N] = {
        [SECTION_TOP] = {top, ARRAY_LEN(top)},
        [SECTION_LISTEN] = {listen_rows, ARRAY_LEN(listen_rows)},
        [SECTION_DOMAIN] = {domain_rows, ARRAY_LEN(domain_rows)},
        [SECTION_PEER] = {peer_rows, ARRAY_LEN(peer_rows)},
        [SECTION_IDENTITY] = {identity_rows, ARRAY_LEN(identity_rows)},
        [SECTION_EMERGENCY] = {emergency_rows, ARRAY_LEN(emergency_rows)},
        [SECTION_HEP] = {hep_rows, ARRAY_LEN(hep_rows)},
        [SECTION_MEDIA] = {media_rows, ARRAY_LEN(media_rows)},
    };

    *ret_n = all[s].n;
    return all[s].v;
}
