//! Every bound of the system: name, unit, value and why. Operators change some of them in `router.yaml`.

/// Longest name of a backend or model, bytes. Longer ones are mistakes and would bloat headers and logs.
pub const NAME_BYTES_MAX: usize = 128;

/// Largest request body that is read, bytes. Anthropic's own limit is 32 MB (its error reference, 2026-11).
pub const BODY_BYTES_MAX: usize = 32 << 20;

/// Most text of one request that is classified, bytes; what lies beyond counts as unreadable.
pub const CLASSIFIED_BYTES_MAX: usize = 8 << 20;

/// Deepest JSON nesting that is read. Real requests stay below 40; tool schemas are the deepest part.
pub const JSON_DEPTH_MAX: usize = 128;

/// Most values and member names of one JSON body; one costs 16 bytes while the body is read. Real requests stay
/// below 20,000, a million tiny members still fit.
pub const JSON_NODES_MAX: usize = 1 << 21;

/// Most string leaves of one request. A million tiny messages must not cost a million allocations.
pub const SEGMENTS_MAX: usize = 200_000;

/// Largest server-sent event, bytes. The final event of a Responses stream repeats the whole answer.
pub const EVENT_BYTES_MAX: usize = 16 << 20;

/// Largest buffered answer of a backend after decompression, bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Most distinct values that one conversation hides behind placeholders.
pub const PLACEHOLDERS_MAX: usize = 10_000;

/// Most keys that a source of master keys may name: the one in force and those before it.
pub const MASTER_KEYS_MAX: usize = 16;

/// Largest file or output that is read for master keys, bytes.
pub const KEY_TEXT_BYTES_MAX: usize = 64 << 10;

/// Longest wait for a command that prints the master keys, milliseconds. Services of clouds answer in one second.
pub const KEY_COMMAND_MS_MAX: u64 = 30_000;

/// Longest name, workspace or owner in the gateway's store, bytes. What users of such a gateway know.
pub const STORED_NAME_BYTES_MAX: usize = 253;

/// Largest stored body, bytes: a policy of 256 KiB with everything around it, four times over.
pub const STORED_BODY_BYTES_MAX: usize = 1 << 20;

/// Largest secret that is stored, bytes. Service accounts and key files stay below 16 KiB.
pub const STORED_SECRET_BYTES_MAX: usize = 64 << 10;

/// Most items of one page of a list.
pub const PAGE_ITEMS_MAX: u32 = 1000;

/// Where a page of a list ends although it has fewer items, bytes of their bodies.
pub const PAGE_BYTES_MAX: usize = 16 << 20;

/// Most audit events that are taken at once.
pub const AUDIT_BATCH_EVENTS_MAX: usize = 1000;

/// Longest line of the audit, bytes. Events have evidence and no content; real ones stay below 4 KiB.
pub const AUDIT_LINE_BYTES_MAX: usize = 64 << 10;

/// Most accounts that one call is booked on: sandbox, workspace, backend and gateway, by day and month, twice over.
pub const BOOKED_ACCOUNTS_MAX: usize = 16;

/// Connections of one sandbox that are served at once; more are refused. Each takes two descriptors.
pub const EGRESS_CONNECTIONS_MAX: usize = 2_048;

/// Most bytes of request bodies that one sandbox has collected at once, bytes: to be judged, rewritten or signed. What is
/// made of one by rewriting comes on top, and is about as large.
pub const EGRESS_BODIES_BYTES_MAX: usize = 64 << 20;

/// Largest body that is collected for being rewritten, so that its new length can be announced, and how far into one that
/// streams placeholders are replaced, bytes.
pub const EGRESS_REWRITTEN_BYTES_MAX: usize = 256 << 10;

/// Largest body that is collected for being signed, bytes. Calls of cloud APIs stay far below; uploads are signed in parts.
pub const EGRESS_SIGNED_BYTES_MAX: usize = 10 << 20;

/// Largest frame of a WebSocket, bytes. It is passed on as it comes: this bounds what one frame may claim.
pub const EGRESS_FRAME_BYTES_MAX: u64 = 16 << 20;

/// Most bytes that are taken from a caller that goes on sending what was refused, bytes.
pub const EGRESS_LINGER_BYTES_MAX: usize = 1 << 20;

/// Idle connections to servers that are kept for one caller.
pub const EGRESS_IDLE_CONNECTIONS_MAX: usize = 32;

/// Most bytes of one direction of a sandbox's connection that were written and not sent, bytes. Pieces of bodies are at
/// most 64 KiB and the next is taken when the last is gone; a head of 64 KiB goes before them.
pub const EGRESS_WAITING_BYTES_MAX: usize = 256 << 10;
