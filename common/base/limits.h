/* SPDX-License-Identifier: Apache-2.0 */
/* Every cap that a peer can meet, and every timeout, in one place. Sizes in bytes, times in milliseconds. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* Stream layers */
#define LIMIT_READ_BYTES         (256 * 1024 - 9)  /* one read of a socket: with a DATA frame's header, whole TLS records */
#define LIMIT_QUEUE_LOW          (16 * 1024)    /* a writer with more than this queued stops its reader */
#define LIMIT_TURN_ACCEPTS       64             /* connections that one listener accepts in one turn */
#define LIMIT_TURN_US            10000          /* of one turn of a worker, divided among the pods that have work in it */
#define LIMIT_TURN_LEAST_US      200            /* what each has at least */
#define LIMIT_LISTEN_BACKLOG     4096
#define LIMIT_PROCESS_BUFFER     (1024u << 20)  /* buffered data of all connections: beyond it windows stay closed */

/* HTTP/2 */
#define LIMIT_STREAM_WINDOW      (256 * 1024)   /* receive window of a new stream */
#define LIMIT_STREAM_WINDOW_MAX  (4 << 20)      /* what it grows to while its reader keeps up */
#define LIMIT_CONN_WINDOW        (16 << 20)
#define LIMIT_CONN_BUFFER        (16 << 20)     /* buffered data of all streams of one connection */
#define LIMIT_FRAME_BYTES        (1 << 20)
#define LIMIT_HEADER_BYTES       (16 * 1024)    /* one header list */
#define LIMIT_HEADER_COUNT       128
#define LIMIT_STREAMS            1000           /* MAX_CONCURRENT_STREAMS that we advertise */
#define LIMIT_EARLY_BYTES        (64 * 1024)    /* sent before the CONNECT reply, and kept for another try */
#define LIMIT_QUEUED_FRAMES      20000          /* frames that wait for a peer who does not read */
#define LIMIT_POOL_STREAMS       100            /* streams per pooled connection until the peer says otherwise */

/* HTTP */
#define LIMIT_HTTP_FIELDS        100            /* of one head of a request or response that is relayed */
#define LIMIT_HTTP_RESETS        1000           /* streams that a client may reset in a second */
#define LIMIT_REPLAY_BYTES       (64 * 1024)    /* of a request's body, kept for another try */

/* Pools of connections to servers, of one worker */
#define LIMIT_POOL_DIALS         32             /* connections to one host that are being made at a time */
#define LIMIT_POOL_SPARE         8
#define LIMIT_POOL_IDLE          2048           /* idle ones to all hosts together; a waypoint has some for each caller */
#define LIMIT_RACE_MS            250            /* between the addresses of one host (RFC 8305) */
#define LIMIT_MIRROR_BYTES       (1 << 20)      /* of a mirrored request's body: beyond it there is no mirror */
#define LIMIT_MIRRORS            256            /* mirrored requests of one worker at a time */
#define LIMIT_MIRROR_MS          15000

/* HTTP/1 */
#define LIMIT_H1_HEAD_BYTES      (64 * 1024)
#define LIMIT_H1_AHEAD           (16 * 1024)    /* input that waits for the present exchange's end */
#define LIMIT_H1_LINE_BYTES      4096           /* of framing between two pieces of a chunked body */
#define LIMIT_H1_SKIP            (64 * 1024)    /* of a request's body that nobody wants: read away, so that the connection stays */
#define LIMIT_H1_INFOS           16             /* interim responses to one request */

/* First bytes, that tell what a connection carries */
#define LIMIT_HELLO_BYTES        (16 * 1024)    /* a TLS ClientHello */
#define LIMIT_SNIFF_BYTES        8192           /* of a request line */
#define LIMIT_PEER_BYTES         (16 * 1024)    /* what a peer says of its workload; more is passed over */
#define LIMIT_PEER_TEXT          253            /* one text of that */

/* Times */
#define LIMIT_CONNECT_MS         10000
#define LIMIT_HANDSHAKE_MS       15000
#define LIMIT_CONNECT_REPLY_MS   15000
#define LIMIT_GOAWAY_MS          500            /* between the wish to end an HTTP connection and refusing new requests */
#define LIMIT_REBALANCE_MS       10000          /* in which clients of a waypoint choose again once it has more replicas */
#define LIMIT_PING_MS            10000          /* idle time before a keepalive PING */
#define LIMIT_PING_TIMEOUT_MS    20000
#define LIMIT_H1_HEAD_MS         15000
#define LIMIT_H1_IDLE_MS         3600000        /* between two requests of a client */
#define LIMIT_H1_STALL_MS        300000
#define LIMIT_LINGER_MS          10000          /* how long a closed stage may still send what it accepted */
#define LIMIT_LINGER_BYTES       (256 * 1024)   /* input that is read away meanwhile */
#define LIMIT_TCP_IDLE_MS        3600000        /* bytes to where no route says otherwise */
#define LIMIT_POOL_IDLE_MS       300000
#define LIMIT_POOL_SPARE_MS      60000          /* how long a host keeps more idle connections than LIMIT_POOL_SPARE */
#define LIMIT_POOL_SWEEP_MS      1000           /* between looks at idle connections, at least */
#define LIMIT_TLSCTX_IDLE_MS     300000         /* a TLS context that no connection used this long is made anew for the next */
#define LIMIT_DRAIN_MS           5000
#define LIMIT_EJECT_MS           5000           /* an endpoint whose connect failed is avoided this long */

/* Pods */
#define LIMIT_POD_CONNS          50000          /* live connections of one pod, and those that wait */
#define LIMIT_POD_HANDSHAKES     1000           /* TLS handshakes of one pod that peers have begun and not ended */
#define LIMIT_POD_WAIT_MS        5000           /* how long a connection waits for its pod's workload and certificate */
#define LIMIT_POD_RETRY_MS       5000           /* a pod that could not be started is tried again */
#define LIMIT_HANDOVER_MS        5000           /* what one meshd waits for another at an upgrade */
#define LIMIT_ZDS_BACKOFF_MIN_MS 20
#define LIMIT_ZDS_BACKOFF_MAX_MS 15000

/* Servers that we call: control planes, collectors */
#define LIMIT_DIAL_MS            5000          /* to one address, TLS included */
#define LIMIT_REPLY_BYTES        (64 * 1024)   /* of an HTTP/1.1 answer, that are kept */
#define LIMIT_GRPC_MESSAGE_BYTES (4u << 20)    /* one received message, unless the channel says otherwise */
#define LIMIT_XDS_MESSAGE_BYTES  (200u << 20)  /* one xDS response */
#define LIMIT_GRPC_META_BYTES    8192          /* metadata of one call, a token included */
#define LIMIT_GRPC_PING_MS       30000         /* istiod takes pings more often than every 15 s for an attack */
#define LIMIT_GRPC_PING_TIMEOUT_MS 10000
#define LIMIT_GRPC_BACKOFF_MIN_MS 10
#define LIMIT_GRPC_BACKOFF_MAX_MS 15000

/* DNS */
#define LIMIT_RESOLVE_MS         5000           /* the addresses of one name */
#define LIMIT_RESOLVES           256            /* names that one resolver asks for at a time */
#define LIMIT_RESOLVE_CACHE      256            /* names that one resolver remembers */
#define LIMIT_RESOLVE_TTL_MS     60000
#define LIMIT_HOSTNAME_MS        5000           /* a cluster's name is asked for again; the resolver answers by itself while the TTL runs */
#define LIMIT_HOSTNAME_FAIL_MS   1000           /* the same after a failure */
#define LIMIT_NAMES              1024           /* that requests bring to one cluster */
#define LIMIT_NAME_IDLE_MS       300000         /* one of them that nobody used this long is forgotten */
#define LIMIT_DNS_UPSTREAM_MS    5000           /* a question that was handed on, all servers together */
#define LIMIT_DNS_DEMAND_MS      2000           /* a name that the control plane is asked for */
#define LIMIT_DNS_PENDING        1024           /* questions of one pod that are handed on or wait */
#define LIMIT_DNS_PENDING_ALL    16384          /* of all pods */
#define LIMIT_DNS_TURN           64             /* datagrams that one socket reads in one turn */
#define LIMIT_DNS_TCP_CLIENTS    128            /* TCP connections of one pod */
#define LIMIT_DNS_TCP_ALL        2048           /* of all pods */
#define LIMIT_DNS_TCP_PENDING    32             /* questions of one TCP connection that are not answered */
#define LIMIT_DNS_TCP_IDLE_MS    5000           /* without a whole question, or without reading answers */
#define LIMIT_DNS_TCP_QUEUE      (128 * 1024)   /* unsent answers of one TCP connection: beyond it questions stay unread */
#define LIMIT_DNS_TTL_S          30             /* of answers for names of the mesh */

/* Tries */
#define LIMIT_CONNECT_TRIES      3              /* endpoints tried before any byte moved */

/* Certificates */
#define LIMIT_CA_FETCHES         8              /* requests to the CA at once */
#define LIMIT_CA_REPLY_MS        15000
#define LIMIT_SESSIONS           64             /* TLS sessions of one context that may be resumed */
#define LIMIT_SESSIONS_PROCESS   2048
#define LIMIT_CA_REPLY_BYTES     (1 << 20)      /* of the certificates of one answer */

/* Regular expressions */
#define LIMIT_REGEX_PATTERN      1024           /* bytes of one, as Istio takes */
#define LIMIT_REGEX_PROGRAM      32768          /* steps of RE2's program: Istio's re2.max_program_size.error_level */
#define LIMIT_REGEX_BYTES        (8 << 20)      /* of one with its cache */
#define LIMIT_REGEX_SET_BYTES    (64 << 20)     /* of all of a virtual host together */

/* JSON web tokens */
#define LIMIT_JWT_BYTES          (16 * 1024)    /* one token */
#define LIMIT_JWKS_BYTES         (1 << 20)      /* one set of keys that is fetched */
#define LIMIT_JWK_RSA_BYTES      1024           /* of a modulus */
#define LIMIT_JWKS_FRESH_MS      300000         /* after this keys are fetched anew */
#define LIMIT_JWKS_AGAIN_MS      1000           /* at least, between two attempts for one issuer */
#define LIMIT_JWT_LOCATIONS      32             /* tokens of one request that are looked at */

/* Rate limits */
#define LIMIT_RATE_BUCKETS       16384          /* of one rule with keys, 16 bytes each; keys beyond them share one */

/* Configuration */
#define LIMIT_FILE_BYTES         (64u << 20)    /* one configuration file */
#define LIMIT_PEM_BYTES          (4u << 20)     /* one file of roots, a certificate or a key of a control plane */
#define LIMIT_YAML_DEPTH         64
#define LIMIT_ADS_REQUEST_BYTES  (4u << 20)     /* what istiod accepts (ISTIO_GPRC_MAXRECVMSGSIZE) */
#define LIMIT_ADS_NACK_BYTES     (8 * 1024)     /* of the reasons in one refusal */
#define LIMIT_ADS_WAITS          10000          /* look-ups on demand at a time */
#define LIMIT_ADS_ASK_AGAIN_MS   15000          /* istiod does not say that a service which was asked for has new endpoints */
#define LIMIT_DEMAND_NAMES       20000          /* names that are asked for, or were a moment ago */
#define LIMIT_ADMIN_HEAD_BYTES   8192
#define LIMIT_ADMIN_CONNS        64
#define LIMIT_BYPASS_ROWS        256            /* pairs of workload and sender that passed by a waypoint, as listed */
#define LIMIT_WHY_ENTRIES        1024           /* refused connections that `meshd why` remembers */
#define LIMIT_METRIC_ROWS        5000           /* sets of labels of requests and sidecars' connections, in all threads */
#define LIMIT_METRIC_IDLE_S      900            /* after which one leaves the metrics page */
#define LIMIT_METRIC_HOSTS       100            /* Host headers of unknown destinations that become labels, in each thread */
#define LIMIT_METRIC_ALIASES     8192           /* shortcuts to sets of labels, in each thread */

#endif
